import { S_IFDIR, S_IFMT } from '../constants.js';
import type { FuseEntry } from './file-system.js';
import { DIRECTORY_ENTRY_BYTES, ENTRY_BYTES, UNKNOWN_INODE } from './protocol.js';
import type { FuseReply } from './reply.js';

/** The first positions of a listing belong to the two names that a file system does not tell. */
export const OWN_ENTRIES = 2;
const dots = [Buffer.from('.'), Buffer.from('..')] as const;

/** One page of a directory: struct fuse_dirent, or with attributes struct fuse_direntplus. */
export class DirectoryPage {
  length = 0;
  readonly #entryBytes: number;

  constructor(
    private readonly reply: FuseReply,
    private readonly size: number,
    form: 'names' | 'attributes',
  ) {
    this.#entryBytes = form === 'attributes' ? ENTRY_BYTES : 0;
  }

  /** @param next where the listing goes on behind this name; false when it does not fit */
  add(name: Uint8Array, entry: FuseEntry, next: number): boolean {
    const at = this.#reserve(name);
    if (at === undefined) return false;
    if (this.#entryBytes > 0) this.reply.putEntry(at, entry);
    this.#putName(at, name, entry.attributes.inode, (entry.attributes.mode & S_IFMT) >>> 12, next);
    return true;
  }

  /** Adds `.` and `..`, those from `position` on, without attributes: node 0 tells the kernel to look nothing up. */
  addDots(position: number, inode: number): boolean {
    for (const [index, name] of dots.entries()) {
      if (index < position) continue;
      const at = this.#reserve(name);
      if (at === undefined) return false;
      this.reply.bytes.fill(0, at, at + this.#entryBytes);
      this.#putName(at, name, index === 0 ? inode : UNKNOWN_INODE, S_IFDIR >>> 12, index + 1);
    }
    return true;
  }

  #reserve(name: Uint8Array): number | undefined {
    const needed = (this.#entryBytes + DIRECTORY_ENTRY_BYTES + name.length + 7) & ~7;
    if (this.length + needed > this.size) return undefined;
    const at = this.reply.body + this.length;
    this.length += needed;
    return at;
  }

  #putName(entryAt: number, name: Uint8Array, inode: number, type: number, next: number): void {
    const { reply } = this;
    const at = entryAt + this.#entryBytes;
    reply.putNumber(at, inode);
    reply.putNumber(at + 8, next);
    reply.view.setUint32(at + 16, name.length, true);
    reply.view.setUint32(at + 20, type, true);
    reply.bytes.set(name, at + DIRECTORY_ENTRY_BYTES);
    reply.bytes.fill(0, at + DIRECTORY_ENTRY_BYTES + name.length, reply.body + this.length);
  }
}
