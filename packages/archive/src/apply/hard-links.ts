/**
 * Hard links: to what this archive made, or else to what its lower layers hold. The lower layers may not be there yet, so
 * such links are put off until they are ({@link settleDeferred}).
 */
import { StoreError } from '@layerstore/core';
import { S_IFMT, S_IFSOCK, type FileStatus } from '@layerstore/linux';
import type { TarEntry } from '../tar/entry.js';
import { isDirectory } from '../tree/file-kind.js';
import type { LayerContents } from './layer-contents.js';
import { cleanName, nameText } from './member-name.js';
import type { MemberWriter } from './member-writer.js';
import type { PathWalker, Place } from './path-walker.js';
import { memberRole } from './whiteout-name.js';

/** Paths are below the root, in latin1 (one character a byte), so that records survive threads and JSON. */
export interface DeferredLink {
  readonly path: string;
  readonly target: string;
  /** The target may be a lower file; otherwise only one that this layer has now. */
  readonly lower: boolean;
}

interface Waiting {
  readonly place: Place;
  readonly target: string;
  readonly lower: boolean;
}

export class HardLinks {
  readonly #contents: LayerContents;
  readonly #walker: PathWalker;
  readonly #writer: MemberWriter;
  readonly #pseudoLink: (name: Buffer) => Place | undefined;
  readonly #waiting = new Map<string, Waiting>();

  /** @param pseudoLink finds a file of `.wh..wh.plnk` that the archive brought */
  constructor(
    contents: LayerContents,
    walker: PathWalker,
    writer: MemberWriter,
    pseudoLink: (name: Buffer) => Place | undefined,
  ) {
    this.#contents = contents;
    this.#walker = walker;
    this.#writer = writer;
    this.#pseudoLink = pseudoLink;
  }

  /**
   * @throws StoreError ERR_MALFORMED_ARCHIVE for a link to a directory, to a whiteout, or into what it replaces
   * @throws StoreError ERR_ARCHIVE_ESCAPE for a target outside the root
   */
  add(place: Place, entry: TarEntry): void {
    const target = cleanName(entry.linkName, `the target of the hard link, ${nameText(entry.linkName)},`);
    const role = memberRole(target);
    if (target.length === 0) throw malformed('the hard link points to the root of the layer');
    if (role.kind === 'pseudo-link') {
      this.#linkPseudo(place, role.name);
      return;
    }
    if (role.kind !== 'ordinary') throw malformed(`the hard link points to a whiteout: ${nameText(target)}`);

    const { place: found, path, replaced } = this.#walker.look(target);
    this.#refuseInner(place, path);
    const status = found === undefined ? undefined : this.#contents.status(found.directory, found.name);
    if (found === undefined || status === undefined || this.#contents.isWhiteout(status)) {
      this.#defer({ place, target: path, lower: !replaced });
    } else if (isDirectory(status)) {
      this.#refuseOwnDirectory(path);
      this.#defer({ place, target: path, lower: !replaced });
    } else if (this.#isWaiting(path, status)) {
      this.#defer({ target: path, lower: false, ...this.#waiting.get(path), place });
    } else {
      this.#writer.hardLink(place, found);
    }
  }

  /** What is still to be linked; a name that a later member took is not. */
  deferred(): DeferredLink[] {
    const links: DeferredLink[] = [];
    for (const [path, { place, target, lower }] of this.#waiting) {
      if (place.directory.removed) continue;
      const status = this.#contents.status(place.directory, place.name);
      if (status !== undefined && this.#isWaiting(path, status)) links.push({ path, target, lower });
    }
    return links;
  }

  /** A name that waits for its file is held by a socket, which no archive can bring, so that it counts as taken. */
  #isWaiting(path: string, status: FileStatus): boolean {
    return this.#waiting.has(path) && (status.mode & S_IFMT) === S_IFSOCK;
  }

  #linkPseudo(place: Place, name: Buffer): void {
    const target = this.#pseudoLink(name);
    if (target === undefined) throw malformed(`the hard link points to a missing pseudo-link: ${nameText(name)}`);
    const waiting = this.#waiting.get(target.directory.pathOf(target.name));
    if (waiting === undefined) this.#writer.hardLink(place, target);
    else this.#defer({ ...waiting, place });
  }

  #defer(link: Waiting): void {
    const { place } = link;
    this.#writer.placeholder(place);
    this.#waiting.set(place.directory.pathOf(place.name), link);
  }

  /** One of a lower layer, or that only whiteouts stand in, is a matter for later, as it is in the other dialects. */
  #refuseOwnDirectory(path: string): void {
    if (this.#contents.directories.find(path)?.holdsContent !== true) return;
    throw malformed(`the hard link points to a directory: ${nameText(Buffer.from(path, 'latin1'))}`);
  }

  /** A link replaces what has its name: a target inside of that would be gone before it could be linked. */
  #refuseInner(place: Place, target: string): void {
    if (target.startsWith(`${place.directory.pathOf(place.name)}/`)) {
      throw malformed('the hard link replaces the directory that its target lies in');
    }
  }
}

function malformed(reason: string): StoreError {
  return new StoreError('ERR_MALFORMED_ARCHIVE', reason);
}
