import { StoreError } from '@layerstore/core';
import { hasErrno, type FileStatus, type Syscalls } from '@layerstore/linux';
import { BUFFER_SIZE } from '../compression/buffer.js';

/** Reasons of copy_file_range(2) that mean "not between these files", not "failed". */
const CANNOT = ['EXDEV', 'EINVAL', 'EOPNOTSUPP', 'ENOTSUP', 'ENOSYS', 'EPERM'] as const;

/** Copies the content of regular files by the cheapest way that works between two file systems. */
export class ContentCopier {
  /** Ways that have failed once are not tried for the next file. */
  #canShare = true;
  #canCopyRange = true;
  #buffer: Buffer | undefined;

  constructor(private readonly syscalls: Syscalls) {}

  /**
   * @param from open for reading, at its start
   * @param to open for writing, empty
   * @throws StoreError ERR_IO when the file becomes shorter meanwhile
   */
  copy(from: number, to: number, status: FileStatus): void {
    if (status.size === 0) return;
    if (this.#canShare) {
      this.#canShare = this.syscalls.reflink(from, to);
      if (this.#canShare) return;
    }
    if (status.allocated >= status.size) {
      const done = this.#copyRange(from, to, status.size);
      this.#copyBytes(from, to, done, status.size);
    } else {
      this.#copySegments(from, to, status.size);
      // What is left at the end is a hole.
      this.syscalls.ftruncate(to, status.size);
    }
  }

  #copySegments(from: number, to: number, size: number): void {
    for (let offset = 0; offset < size;) {
      const start = this.syscalls.seekSparse(from, offset, 'data');
      if (start === undefined || start >= size) return;
      const end = Math.min(this.syscalls.seekSparse(from, start, 'hole') ?? size, size);
      this.#copyBytes(from, to, start, end);
      offset = end;
    }
  }

  /** Returns how much was copied: all, or less where the kernel cannot copy between these file systems. */
  #copyRange(from: number, to: number, size: number): number {
    let done = 0;
    while (this.#canCopyRange && done < size) {
      try {
        const count = this.syscalls.copyFileRange(from, to, size - done);
        if (count === 0) break;
        done += count;
      } catch (error) {
        if (!hasErrno(error, ...CANNOT)) throw error;
        this.#canCopyRange = false;
      }
    }
    return done;
  }

  #copyBytes(from: number, to: number, start: number, end: number): void {
    if (start >= end) return;
    const buffer = (this.#buffer ??= Buffer.allocUnsafe(BUFFER_SIZE));
    for (let offset = start; offset < end;) {
      const count = this.syscalls.read(from, buffer.subarray(0, end - offset), offset);
      if (count === 0) throw becameShorter();
      this.syscalls.write(to, buffer.subarray(0, count), offset);
      offset += count;
    }
  }
}

function becameShorter(): StoreError {
  return new StoreError('ERR_IO', 'the file became shorter while it was read', {
    hint: 'stop or pause whatever writes there, and try again',
  });
}
