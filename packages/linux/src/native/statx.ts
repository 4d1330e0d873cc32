import type { FileStatus } from '../syscalls.js';

/** Type, mode, links, owner, times, inode, size, blocks (STATX_BASIC_STATS). */
export const STATX_BASIC_STATS = 0x7ff;

/** The buffer that statx(2) fills (struct statx, linux/stat.h: 256 bytes, the same on every architecture). */
export class StatxBuffer {
  readonly bytes = new Uint8Array(256);
  readonly #view = new DataView(this.bytes.buffer);

  status(): FileStatus {
    const view = this.#view;
    return {
      mode: view.getUint16(28, true),
      links: view.getUint32(16, true),
      uid: view.getUint32(20, true),
      gid: view.getUint32(24, true),
      size: view.getUint32(40, true) + view.getUint32(44, true) * 2 ** 32,
      allocated: (view.getUint32(48, true) + view.getUint32(52, true) * 2 ** 32) * 512,
      inode: view.getBigUint64(32, true),
      deviceMajor: view.getUint32(136, true),
      deviceMinor: view.getUint32(140, true),
      specialMajor: view.getUint32(128, true),
      specialMinor: view.getUint32(132, true),
      modifiedNs: this.#time(112),
      changedNs: this.#time(96),
      accessedNs: this.#time(64),
    };
  }

  /** struct statx_timestamp: seconds may be negative, nanoseconds always count upwards. */
  #time(offset: number): bigint {
    const view = this.#view;
    return view.getBigInt64(offset, true) * 1_000_000_000n + BigInt(view.getUint32(offset + 8, true));
  }
}
