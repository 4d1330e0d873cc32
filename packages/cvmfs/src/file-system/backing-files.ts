import type { Logger } from '@layerstore/core';
import { hasErrno, type FileSyscalls, type FuseSyscalls, type NodeNumber } from '@layerstore/linux';

const RECORD_BYTES = 12;

/**
 * The files that the kernel reads itself. A file that is open has one number, whoever opened it: the kernel refuses a second. Kept in a journal,
 * for a server that is started after a kill has to give the same. Only one thread of a server does this.
 */
export class BackingFiles {
  readonly #files = new Map<NodeNumber, { readonly id: number; count: number }>();
  #isRefused = false;

  /** @param journal opened for appending */
  constructor(
    private readonly sys: FileSyscalls & FuseSyscalls,
    private readonly device: number,
    private readonly journal: number,
    private readonly logger: Logger,
  ) {
    const record = Buffer.alloc(RECORD_BYTES);
    for (let at = 0; sys.read(journal, record, at) === RECORD_BYTES; at += RECORD_BYTES) {
      this.#apply(record.readUInt32LE(0), record.readInt32LE(4), record.readInt32LE(8));
    }
  }

  /**
   * The number for a file that is opened; undefined where the kernel reads no files itself.
   * @param fd of the content, not needed afterwards
   */
  open(node: NodeNumber, fd: number): number | undefined {
    const known = this.#files.get(node);
    if (known === undefined && this.#isRefused) return undefined;
    const id = known?.id ?? this.#number(fd);
    if (id !== undefined) this.#note(node, id, 1);
    return id;
  }

  /** Nothing happens for a file that is not open. */
  release(node: NodeNumber): void {
    const known = this.#files.get(node);
    if (known === undefined) return;
    this.#note(node, known.id, -1);
    if (!this.#files.has(node)) this.sys.closeFuseBacking(this.device, known.id);
  }

  #number(fd: number): number | undefined {
    try {
      return this.sys.openFuseBacking(this.device, fd);
    } catch (error) {
      // ELOOP: the cache directory lies on a file system that stands on another. Never true for one file and false for the next.
      if (!hasErrno(error, 'ELOOP', 'EPERM', 'ENOTTY', 'EOPNOTSUPP', 'ENOTSUP')) throw error;
      this.#isRefused = true;
      this.logger.info({ error: String(error) }, 'the kernel does not read files of the cache directory itself');
      return undefined;
    }
  }

  #note(node: NodeNumber, id: number, change: number): void {
    const record = Buffer.alloc(RECORD_BYTES);
    record.writeUInt32LE(node, 0);
    record.writeInt32LE(id, 4);
    record.writeInt32LE(change, 8);
    this.sys.write(this.journal, record);
    this.#apply(node, id, change);
  }

  #apply(node: NodeNumber, id: number, change: number): void {
    const count = (this.#files.get(node)?.count ?? 0) + change;
    if (count > 0) this.#files.set(node, { id, count });
    else this.#files.delete(node);
  }
}
