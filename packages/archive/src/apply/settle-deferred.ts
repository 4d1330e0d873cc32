/** What a layer's archive leaves to its lower layers: links to their files, and the attributes of their directories. */
import { fromSystemError, StoreError } from '@layerstore/core';
import { nativeSyscalls, type FileStatus, type FileSyscalls } from '@layerstore/linux';
import { writeMarkerList } from '../aufs/marker-list.js';
import { readMarkers } from '../aufs/markers.js';
import type { LayerTree } from '../layer-tree.js';
import { isDirectory } from '../tree/file-kind.js';
import { LayerStack, type StackEntry } from '../tree/stack.js';
import { AttributeWriter, attributesOf } from './attributes.js';
import { entryFrom, readContent } from './copied-entry.js';
import { Directories } from './directories.js';
import type { Directory } from './directory.js';
import { finishDirectories, type DeferredDirectory } from './finish-directories.js';
import type { DeferredLink } from './hard-links.js';
import { LayerContents } from './layer-contents.js';
import type { DeferredWork } from './layer-writer.js';
import { marksFor, removeWhiteouts, type Marks } from './marks.js';
import { nameText } from './member-name.js';
import { MemberWriter } from './member-writer.js';
import { PathWalker, type Place } from './path-walker.js';

/**
 * Completes a layer when its lower layers are complete; the step after `applyLayer`, never left out.
 *
 * A hard link into a lower layer is made as the kernel would make it in a mounted stack: the file is copied up under its
 * own name, and linked. A directory that the archive does not list has the attributes of its lower twin, or 0755 of
 * root and the time of its first member. One that holds whiteouts only, and has no twin, goes.
 *
 * Costs one lookup in the lowers per deferred item; lower trees are not walked, and nothing is written to them.
 *
 * @param lowers uppermost first; empty for a base layer and where the tree is complete
 * @throws StoreError ERR_MALFORMED_ARCHIVE naming a hard link whose target is nowhere, or is a directory
 * @throws StoreError ERR_NO_SPACE, ERR_IO and others of the file system; the caller deletes the layer then
 */
export function settleDeferred(
  deferred: DeferredWork,
  tree: LayerTree,
  lowers: readonly LayerTree[],
  syscalls: FileSyscalls = nativeSyscalls(),
): void {
  try {
    const attributes = new AttributeWriter(syscalls, tree.idMaps);
    using directories = new Directories(syscalls, tree.path);
    using below = new LayerStack(lowers);
    using whole = deferred.links.length > 0 ? new LayerStack([tree, ...lowers]) : undefined;
    const marked = new Settlement(tree, attributes, directories, below, whole).run(deferred);
    if (tree.markerList !== undefined) writeMarkerList(tree.markerList, tree.path, readMarkers(tree.path, marked));
  } catch (error) {
    throw fromSystemError(error, tree.path);
  }
}

class Settlement {
  readonly #attributes: AttributeWriter;
  readonly #directories: Directories;
  readonly #lowers: LayerStack;
  readonly #whole: LayerStack | undefined;
  readonly #contents: LayerContents;
  readonly #walker: PathWalker;
  readonly #members: MemberWriter;
  readonly #marks: Marks;
  /** Where a lower file was copied to, by its absolute path. */
  readonly #copies = new Map<string, Place>();

  /** @param whole the layer on top of its lowers; needed for links */
  constructor(
    tree: LayerTree,
    attributes: AttributeWriter,
    directories: Directories,
    lowers: LayerStack,
    whole: LayerStack | undefined,
  ) {
    this.#attributes = attributes;
    this.#directories = directories;
    this.#lowers = lowers;
    this.#whole = whole;
    this.#contents = new LayerContents({
      syscalls: directories.syscalls,
      directories,
      dialect: tree.dialect,
      attributes,
      // Symlinks were followed when the paths were noted down; what is a symlink now may not have been one then.
      followsSymlinks: false,
    });
    this.#marks = marksFor(this.#contents);
    this.#walker = new PathWalker(this.#contents, (directory) => this.#marks.makeOpaque(directory, 'replaced'));
    this.#members = new MemberWriter(this.#contents, attributes, this.#walker);
  }

  /** Returns the directories that hold markers. */
  run(deferred: DeferredWork): readonly string[] {
    this.#contents.takeUpRoot();
    this.#linkAll(deferred.links);
    const made = [...this.#directories.values()].filter((directory) => directory.state.kind === 'implied');
    for (const { path } of made) this.#complete({ path, holdsContent: true });
    for (const directory of deferred.directories) this.#complete(directory);
    if (deferred.opaqueRoot) this.#hideLowerRoots();
    if (this.#contents.dialect === 'overlay') for (const path of deferred.whiteouts) this.#dropIdleWhiteouts(path);
    finishDirectories(this.#directories, this.#attributes);
    const marked = [...this.#directories.values()].filter((directory) => directory.holdsWhiteouts);
    return [...new Set([...deferred.whiteouts, ...marked.map((directory) => directory.path)])];
  }

  /** Links to lower files first, then those to files of this layer, which may themselves be such links. */
  #linkAll(links: readonly DeferredLink[]): void {
    const waiting = new Map(links.map((link) => [link.path, link]));
    for (const link of links) {
      const lower = link.lower ? this.#lowers.lookup(bytes(link.target)) : undefined;
      if (lower === undefined || isDirectory(lower.status)) continue;
      const place = this.#placeOf(link);
      this.#members.hardLink(place, this.#copyOf(lower, link, place));
      waiting.delete(link.path);
    }
    for (let before = -1; waiting.size !== before;) {
      before = waiting.size;
      for (const link of waiting.values()) {
        if (waiting.has(link.target)) continue;
        this.#linkWithin(link);
        waiting.delete(link.path);
      }
    }
    for (const link of waiting.values()) throw refusal(link, 'is a hard link that leads nowhere');
  }

  #linkWithin(link: DeferredLink): void {
    const { place: target } = this.#walker.look(bytes(link.target));
    const status = target === undefined ? undefined : this.#contents.status(target.directory, target.name);
    if (target === undefined || status === undefined || isDirectory(status) || this.#contents.isWhiteout(status)) {
      throw refusal(link, 'is no file in this layer or below');
    }
    this.#members.hardLink(this.#placeOf(link), target);
  }

  /** The name is held by a placeholder. */
  #placeOf(link: DeferredLink): Place {
    const { place } = this.#walker.look(bytes(link.path));
    if (place !== undefined) return place;
    throw new StoreError('ERR_INTERNAL', 'the directory of a hard link is missing', {
      subject: nameText(bytes(link.path)),
    });
  }

  /** The lower file under its own name in this layer; under the link's where the layer hides or replaces that name. */
  #copyOf(lower: StackEntry, link: DeferredLink, place: Place): Place {
    const key = lower.path.toString('latin1');
    const earlier = this.#copies.get(key);
    if (earlier !== undefined) return earlier;
    const visible = this.#whole?.lookup(bytes(link.target));
    const target = visible?.path.equals(lower.path) === true ? this.#lowerPlace(link.target, lower.status) : place;
    this.#members.write(target, entryFrom(lower), () => readContent(this.#lowers, bytes(link.target)));
    this.#copies.set(key, target);
    return target;
  }

  /** Where the copy of a lower file goes; its directories are made, to be completed from their lower twins. */
  #lowerPlace(path: string, status: FileStatus): Place {
    const slash = path.lastIndexOf('/');
    const directory = this.#walker.make(bytes(path.slice(0, Math.max(slash, 0))), status.modifiedNs);
    return { directory, name: bytes(path.slice(slash + 1)) };
  }

  #complete(deferred: DeferredDirectory): void {
    const directory = this.#find(deferred.path);
    if (directory === undefined) return;
    const twin = this.#lowers.lookup(bytes(deferred.path));
    if (twin !== undefined && isDirectory(twin.status)) {
      directory.state = { kind: 'listed', attributes: attributesOf(entryFrom(twin)) };
    } else if (!deferred.holdsContent && directory.parent !== undefined) {
      this.#contents.remove(directory.parent, directory.name);
    }
  }

  #find(path: string): Directory | undefined {
    if (path === '') return this.#directories.root;
    const { place } = this.#walker.look(bytes(path));
    if (place === undefined) return undefined;
    const known = this.#directories.find(path);
    if (known !== undefined) return known;
    const status = this.#contents.status(place.directory, place.name);
    if (status === undefined || !isDirectory(status)) return undefined;
    return this.#contents.takeUp(place.directory, place.name, status);
  }

  /** The kernel obeys no opaque mark on a layer's root, so every name of the lower roots is hidden by itself. */
  #hideLowerRoots(): void {
    const { root } = this.#directories;
    for (const name of this.#lowers.names(bytes(''))) {
      const status = this.#contents.status(root, name);
      if (status === undefined) this.#marks.hide({ directory: root, name });
      else if (isDirectory(status)) this.#marks.makeOpaque(this.#directoryAt(root, name, status), 'replaced');
    }
  }

  #dropIdleWhiteouts(path: string): void {
    const directory = this.#find(path);
    if (directory === undefined) return;
    const twin = this.#lowers.lookup(bytes(path));
    if (twin === undefined || !isDirectory(twin.status)) removeWhiteouts(this.#contents, directory);
  }

  #directoryAt(parent: Directory, name: Buffer, status: FileStatus): Directory {
    return this.#directories.find(parent.pathOf(name)) ?? this.#contents.takeUp(parent, name, status);
  }
}

function refusal(link: DeferredLink, reason: string): StoreError {
  const target = nameText(bytes(link.target));
  return new StoreError('ERR_MALFORMED_ARCHIVE', `the target of the hard link, ${target}, ${reason}`, {
    subject: nameText(bytes(link.path)),
  });
}

function bytes(path: string): Buffer {
  return Buffer.from(path, 'latin1');
}
