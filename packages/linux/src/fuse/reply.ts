import { constants } from 'node:os';
import { hasErrno } from '../native/errno.js';
import type { FileSyscalls } from '../syscalls.js';
import type { FuseAttributes, FuseEntry } from './file-system.js';
import { ATTRIBUTES_BYTES, ENTRY_BYTES, MAX_READ_BYTES, REPLY_HEADER_BYTES } from './protocol.js';

const BLOCK = 512;
const HIGH = 0x1_0000_0000;

/**
 * One buffer in which answers are built, header first. The kernel takes an answer only as one whole write.
 */
export class FuseReply {
  readonly bytes = new Uint8Array(REPLY_HEADER_BYTES + MAX_READ_BYTES);
  readonly view = new DataView(this.bytes.buffer);
  /** Where the answer's own data begin. */
  readonly body = REPLY_HEADER_BYTES;

  constructor(
    private readonly sys: FileSyscalls,
    /** Tells nodes of this mount from those that an earlier one used the same numbers for. */
    private readonly generation: number,
  ) {}

  /** Sends the first `length` bytes of the body. */
  send(device: number, unique: bigint, length: number): void {
    this.#write(device, unique, 0, length);
  }

  /** @param errno positive */
  fail(device: number, unique: bigint, errno: number): void {
    this.#write(device, unique, -errno, 0);
  }

  #write(device: number, unique: bigint, error: number, length: number): void {
    const total = REPLY_HEADER_BYTES + length;
    this.view.setUint32(0, total, true);
    this.view.setInt32(4, error, true);
    this.view.setBigUint64(8, unique, true);
    try {
      this.sys.write(device, this.bytes.subarray(0, total));
    } catch (failure) {
      // ENOENT: whoever asked was killed or interrupted meanwhile. ENODEV, EBADF: the mount has gone.
      if (!hasErrno(failure, 'ENOENT', 'ENODEV', 'EBADF')) throw failure;
    }
  }

  /** struct fuse_entry_out. */
  putEntry(at: number, entry: FuseEntry): void {
    this.putNumber(at, entry.node);
    this.view.setUint32(at + 8, this.generation, true);
    this.view.setUint32(at + 12, 0, true);
    this.putNumber(at + 16, entry.cacheSeconds);
    this.putNumber(at + 24, entry.cacheSeconds);
    this.putNumber(at + 32, 0);
    this.putAttributes(at + ENTRY_BYTES - ATTRIBUTES_BYTES, entry.attributes);
  }

  /** The same for a name that does not exist: node 0, and how long that may be believed. */
  putAbsence(at: number, seconds: number): void {
    this.bytes.fill(0, at, at + ENTRY_BYTES);
    this.putNumber(at + 16, seconds);
  }

  /** struct fuse_attr. */
  putAttributes(at: number, attributes: FuseAttributes): void {
    const { view } = this;
    const { modifiedSeconds, modifiedNanoseconds, major, minor } = attributes;
    this.putNumber(at, attributes.inode);
    this.putNumber(at + 8, attributes.size);
    this.putNumber(at + 16, Math.ceil(attributes.size / BLOCK));
    for (const time of [at + 24, at + 32, at + 40]) this.putNumber(time, modifiedSeconds);
    for (const time of [at + 48, at + 52, at + 56]) view.setUint32(time, modifiedNanoseconds, true);
    view.setUint32(at + 60, attributes.mode, true);
    view.setUint32(at + 64, attributes.links, true);
    view.setUint32(at + 68, attributes.uid, true);
    view.setUint32(at + 72, attributes.gid, true);
    // new_encode_dev() of the kernel: 12 bits of major, 20 of minor.
    view.setUint32(at + 76, ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0, true);
    view.setUint32(at + 80, 4096, true);
    view.setUint32(at + 84, 0, true);
  }

  /** 64 bits; a negative number (times before 1970) in two's complement. */
  putNumber(at: number, value: number): void {
    this.view.setUint32(at, value, true);
    this.view.setUint32(at + 4, Math.floor(value / HIGH), true);
  }
}

/** The errno of a caught exception, and EIO for those that have none that a reader could be told. */
export function errnoOf(error: unknown): number {
  return hasErrno(error, 'ENOMEM', 'EMFILE', 'ENFILE') ? constants.errno.ENOMEM : constants.errno.EIO;
}
