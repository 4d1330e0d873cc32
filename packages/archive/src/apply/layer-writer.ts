/** Applies the members of one archive to one tree, in archive order. */
import { StoreError } from '@layerstore/core';
import type { FileSyscalls } from '@layerstore/linux';
import type { LayerTree } from '../layer-tree.js';
import type { TarEntry } from '../tar/entry.js';
import { AttributeWriter } from './attributes.js';
import { Directories } from './directories.js';
import type { Directory } from './directory.js';
import { finishDirectories, impliedDirectories, type DeferredDirectory } from './finish-directories.js';
import { HardLinks, type DeferredLink } from './hard-links.js';
import { LayerContents } from './layer-contents.js';
import { LostContent } from './lost-content.js';
import { marksFor, type Marks } from './marks.js';
import { cleanName } from './member-name.js';
import { MemberWriter, type ContentChunk } from './member-writer.js';
import { PathWalker, type Place } from './path-walker.js';
import { SideRoom } from './side-room.js';
import type { SplitRecorder } from './split-recorder.js';
import { memberRole, OPAQUE_MARKER, type MemberRole } from './whiteout-name.js';

const SLASH = 0x2f;
const MARKER_MODE = 0o444;

/**
 * What a layer leaves to be done when its lower layers are complete; a plain record.
 * {@link settleDeferred} does it.
 */
export interface DeferredWork {
  /** Parents before their children. */
  readonly directories: readonly DeferredDirectory[];
  readonly links: readonly DeferredLink[];
  /** The whole lower tree is hidden; the kernel obeys no opaque mark on a layer's root. */
  readonly opaqueRoot: boolean;
  /**
   * Directories with whiteouts, which in overlay form hide something only where lower layers have the directory too; in aufs
   * form also those with other markers.
   */
  readonly whiteouts: readonly string[];
}

export class LayerWriter implements Disposable {
  readonly lost: LostContent | undefined;
  readonly #directories: Directories;
  readonly #contents: LayerContents;
  readonly #attributes: AttributeWriter;
  readonly #walker: PathWalker;
  readonly #members: MemberWriter;
  readonly #links: HardLinks;
  readonly #marks: Marks;
  readonly #sideRoom: SideRoom;
  readonly #recorder: SplitRecorder | undefined;
  /** Members of `.wh..wh.plnk`: further names that aufs gives to files while they are mounted. */
  pseudoLinks = 0;
  readonly #pseudoLinks = new Map<string, Place>();
  /** Where the last member went: most often the next one goes there too. */
  #last: Directory;

  constructor(syscalls: FileSyscalls, tree: LayerTree, recorder?: SplitRecorder) {
    this.#attributes = new AttributeWriter(syscalls, tree.idMaps);
    const directories = new Directories(syscalls, tree.path);
    this.#directories = directories;
    this.#recorder = recorder;
    this.#last = directories.root;
    this.#sideRoom = new SideRoom(syscalls, directories, tree.path);
    this.lost = recorder === undefined ? undefined : new LostContent(syscalls, directories, this.#sideRoom);
    this.#contents = new LayerContents({
      syscalls,
      directories,
      dialect: tree.dialect,
      attributes: this.#attributes,
      lost: this.lost,
    });
    this.#marks = marksFor(this.#contents);
    this.#walker = new PathWalker(this.#contents, (directory) => this.#marks.makeOpaque(directory, 'replaced'));
    this.#members = new MemberWriter(this.#contents, this.#attributes, this.#walker);
    this.#links = new HardLinks(this.#contents, this.#walker, this.#members, (name) =>
      this.#pseudoLinks.get(name.toString('latin1')),
    );
  }

  /** Extended attributes that the file system could not hold. */
  get unsupportedXattrs(): number {
    return this.#attributes.unsupportedXattrs;
  }

  /**
   * Looks at the root, before the first member.
   * @throws StoreError ERR_EXISTS when a tree that must be empty is not
   */
  begin(tree: LayerTree): void {
    const { root } = this.#directories;
    const isEmpty = this.#directories.list(root).length === 0;
    if (tree.dialect !== 'complete' && !isEmpty) {
      throw new StoreError('ERR_EXISTS', 'the layer has content already', {
        subject: tree.path,
        hint: 'remove the layer, create it again and repeat',
      });
    }
    this.#contents.takeUpRoot();
    if (!isEmpty) return;
    // What an empty root has came from the directory that the store lies in, not from an archive.
    root.state = { kind: 'implied' };
    root.defaultAcl = undefined;
  }

  /** Makes one member. @param content is read once, and only for files */
  add(entry: TarEntry, content: () => Iterable<ContentChunk>): void {
    if (this.lost !== undefined) this.lost.position = this.#recorder?.nextPosition ?? 0;
    const path = cleanName(entry.name);
    this.#directories.root.impliedNs ??= entry.modifiedNs;
    if (path.length === 0) {
      this.#recorder?.begin(entry, undefined);
      this.#members.root(entry);
      return;
    }
    const role = memberRole(path);
    if (role.kind !== 'ordinary') {
      this.#recorder?.begin(entry, undefined);
      this.#addMarker(role, entry, content);
      return;
    }
    const directory = this.#parentOf(path, entry.modifiedNs);
    const place = { directory, name: path.subarray(path.lastIndexOf(SLASH) + 1) };
    directory.requireReachable(place.name);
    directory.noteContent(entry.modifiedNs);
    this.#recorder?.begin(entry, this.#storedAs(place, path, entry));
    this.#addOrdinary(place, entry, content);
  }

  /** Everything that has to wait for the last member, but for what lies in the side room. */
  finish(): DeferredWork {
    this.#sideRoom.clear();
    this.#marks.finish();
    const links = this.#links.deferred();
    const isHidden = (directory: Directory): boolean =>
      directory.parent !== undefined && this.#contents.isHiddenByFile(directory.parent, directory.name);
    const isComplete = this.#contents.dialect === 'complete';
    const directories = isComplete ? [] : impliedDirectories(this.#contents, isHidden);
    finishDirectories(this.#directories, this.#attributes);
    const opaqueRoot = this.#contents.dialect === 'overlay' && this.#directories.root.cut !== 'no';
    const whiteouts = Array.from(this.#directories.values())
      .filter((directory) => directory.holdsWhiteouts)
      .map((directory) => directory.path);
    return { directories, links, opaqueRoot, whiteouts };
  }

  [Symbol.dispose](): void {
    this.#directories[Symbol.dispose]();
  }

  #addOrdinary(place: Place, entry: TarEntry, content: () => Iterable<ContentChunk>): void {
    if (entry.type === 'hardlink') this.#links.add(place, entry);
    else this.#members.write(place, entry, content);
  }

  #addMarker(
    role: Exclude<MemberRole, { kind: 'ordinary' }>,
    entry: TarEntry,
    content: () => Iterable<ContentChunk>,
  ): void {
    if (role.kind === 'bookkeeping') return;
    if (role.kind === 'pseudo-link') {
      this.#addPseudoLink(role.name, entry, content);
      return;
    }
    const directory = this.#walker.makeForWhiteout(role.directory, entry.modifiedNs);
    if (directory === undefined) return;
    if (role.kind === 'opaque') this.#marks.makeOpaque(directory, 'content');
    else this.#marks.hide({ directory, name: role.hidden });
    if (this.#contents.dialect === 'aufs') this.#storeMarker(directory, role, entry);
  }

  /** In aufs form a marker is a file; of another type, it would make lookups of the name fail. */
  #storeMarker(
    directory: Directory,
    role: Extract<MemberRole, { kind: 'whiteout' | 'opaque' }>,
    entry: TarEntry,
  ): void {
    const name = role.kind === 'opaque' ? Buffer.from(OPAQUE_MARKER) : role.marker;
    const plain = { linkName: Buffer.alloc(0), xattrs: [], size: 0, type: 'file' } as const;
    const mode = entry.type === 'file' ? entry.mode : MARKER_MODE;
    this.#members.write({ directory, name }, { ...entry, ...plain, mode }, () => []);
  }

  #addPseudoLink(name: Buffer, entry: TarEntry, content: () => Iterable<ContentChunk>): void {
    if (entry.type !== 'file' && entry.type !== 'hardlink') return;
    this.pseudoLinks += 1;
    const place = { directory: this.#sideRoom.directory(), name: this.#sideRoom.freshName() };
    this.#addOrdinary(place, entry, content);
    this.#pseudoLinks.set(name.toString('latin1'), place);
  }

  #parentOf(path: Buffer, modifiedNs: bigint): Directory {
    const length = Math.max(path.lastIndexOf(SLASH), 0);
    const last = this.#last;
    if (!last.removed && startsWithPath(path, last.path, length)) return last;
    this.#last = this.#walker.make(path.subarray(0, length), modifiedNs);
    return this.#last;
  }

  /** The name under which tar-split finds the content again; the member's own, unless symlinks led elsewhere. */
  #storedAs(place: Place, path: Buffer, entry: TarEntry): Buffer | undefined {
    if (entry.type !== 'file' || entry.size === 0 || entry.sparse !== undefined) return undefined;
    const length = path.length - place.name.length - 1;
    if (startsWithPath(path, place.directory.path, Math.max(length, 0))) return entry.name;
    return Buffer.from(place.directory.pathOf(place.name), 'latin1');
  }
}

/** True when the first `length` bytes are the path of that directory. */
function startsWithPath(path: Buffer, directory: string, length: number): boolean {
  if (directory.length !== length) return false;
  for (let index = length - 1; index >= 0; index--) {
    if (path[index] !== directory.charCodeAt(index)) return false;
  }
  return true;
}
