import { StoreError } from '@layerstore/core';
import type { EntryAttributes } from './attributes.js';
import { MAX_PATH_BYTES } from './member-name.js';

/** How the attributes of a directory are to be when the tree is done. */
export type DirectoryState =
  /** The archive lists it: these are its attributes. */
  | { readonly kind: 'listed'; readonly attributes: EntryAttributes }
  /** Made because a member lies in it. */
  | { readonly kind: 'implied' }
  /** Was there before; gets its own times back. */
  | { readonly kind: 'found'; readonly accessedNs: bigint; readonly modifiedNs: bigint };

export class Directory {
  /** -1 while it is not open. */
  fd = -1;
  /** No longer in the tree. */
  removed = false;
  /** It, or something below it, is in the archive: more than whiteouts. */
  holdsContent = false;
  /** Time of the first member that lies in it: gives one that is only implied a time that is the same on every run. */
  impliedNs: bigint | undefined;
  /** Whiteouts in overlay form were made in it. */
  holdsWhiteouts = false;
  /** `content`: hides what lower layers have in it; `replaced`: it does not continue a lower directory at all. */
  cut: 'no' | 'content' | 'replaced' = 'no';
  /** It took the place of a file of this archive, which had taken the place of whatever lower layers have there. */
  replacedOwn = false;
  /** New entries may take its group: it was set-group-ID, or of another group on a file system with BSD groups. */
  inheritsGroup: boolean;
  /** The default ACL that it had, taken off until the tree is done. */
  defaultAcl: Buffer | undefined;
  #children: Set<Directory> | undefined;

  constructor(
    readonly parent: Directory | undefined,
    /** Path below the root in latin1, one character a byte; empty for the root. */
    readonly path: string,
    public state: DirectoryState,
    /** Permission bits that it was made with; `undefined` when it was in the tree before. */
    readonly madeMode: number | undefined,
  ) {
    // What mkdir(2) makes in a set-group-ID directory is set-group-ID too.
    this.inheritsGroup = madeMode !== undefined && parent?.inheritsGroup === true;
  }

  /** The path of an entry of this directory. */
  pathOf(name: Uint8Array): string {
    const text = Buffer.from(name.buffer, name.byteOffset, name.length).toString('latin1');
    return this.path === '' ? text : `${this.path}/${text}`;
  }

  /** @throws StoreError ERR_LIMIT_EXCEEDED when an entry of that name could not be opened by its path */
  requireReachable(name: Uint8Array): void {
    if (this.path.length + 1 + name.length <= MAX_PATH_BYTES) return;
    throw new StoreError('ERR_LIMIT_EXCEEDED', `the path is longer than ${MAX_PATH_BYTES} bytes`);
  }

  get children(): Iterable<Directory> {
    return this.#children ?? [];
  }

  adopt(child: Directory): void {
    (this.#children ??= new Set()).add(child);
  }

  disown(child: Directory): void {
    this.#children?.delete(child);
  }

  /** True when lower content in it was replaced before: a link cannot lead there any more. */
  get isReplaced(): boolean {
    return this.replacedOwn || this.parent?.isReplaced === true;
  }

  /** True when nothing that lower layers have in it can show. */
  get isCutOff(): boolean {
    return this.cut !== 'no' || this.parent?.isCutOff === true;
  }

  /** Notes that a member of the archive, not just a whiteout, stands in it. */
  noteContent(modifiedNs: bigint): void {
    if (this.holdsContent) return;
    this.holdsContent = true;
    this.impliedNs = modifiedNs;
    this.parent?.noteContent(modifiedNs);
  }

  /** Its name in its parent. */
  get name(): Buffer {
    return Buffer.from(this.path.slice(this.path.lastIndexOf('/') + 1), 'latin1');
  }
}
