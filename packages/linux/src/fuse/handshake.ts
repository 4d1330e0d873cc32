import { StoreError } from '@layerstore/core';
import type { FileSyscalls } from '../syscalls.js';
import {
  FUSE_KERNEL_VERSION,
  FUSE_MINOR_VERSION,
  FUSE_OLDEST_MINOR_VERSION,
  initFlag,
  initFlag2,
  MAX_PAGES,
  MAX_READ_BYTES,
  opcode,
} from './protocol.js';
import { FuseReply } from './reply.js';
import { FuseRequest } from './request.js';

const INIT_BYTES = 64;
/** Requests that the kernel makes for itself, such as read-ahead, and that it leaves unanswered at a time. */
const MAX_BACKGROUND = 64;
const MAX_READAHEAD_BYTES = MAX_READ_BYTES;

/** What kernel and server agreed on, for every server that serves the connection later. */
export interface FuseAbilities {
  readonly minor: number;
  /** The kernel reads opened files itself (Linux 6.9). */
  readonly passthrough: boolean;
}

const wanted =
  initFlag.asyncRead |
  initFlag.bigWrites |
  initFlag.doReaddirplus |
  initFlag.noOpenSupport |
  initFlag.parallelDirops |
  // The kernel obeys access control lists, and remembers which files have none.
  initFlag.posixAcl |
  initFlag.abortError |
  initFlag.maxPages |
  initFlag.cacheSymlinks |
  initFlag.noOpendirSupport |
  initFlag.initExtension;

const wanted2 = initFlag2.passthrough | initFlag2.allowIdmap;

/**
 * Answers INIT, which the kernel sends once, at the mount, before anything else.
 * @throws StoreError ERR_MISSING_PREREQUISITE for a kernel that speaks an older protocol
 */
export function answerInit(sys: FileSyscalls, device: number): FuseAbilities {
  const request = new FuseRequest();
  request.length = sys.read(device, request.bytes);
  const { body } = request;
  const major = request.uint32(body);
  const minor = request.uint32(body + 4);
  if (request.opcode !== opcode.init || major !== FUSE_KERNEL_VERSION || minor < FUSE_OLDEST_MINOR_VERSION) {
    throw new StoreError('ERR_MISSING_PREREQUISITE', `the kernel speaks version ${major}.${minor} of FUSE`, {
      hint: `7.${FUSE_OLDEST_MINOR_VERSION} is needed, which Linux 5.4 has`,
    });
  }
  const flags = request.uint32(body + 12) & wanted;
  const hasExtension = (flags & initFlag.initExtension) !== 0 && request.length >= body + INIT_BYTES;
  const flags2 = hasExtension ? request.uint32(body + 16) & wanted2 : 0;
  const passthrough = (flags2 & initFlag2.passthrough) !== 0;

  const reply = new FuseReply(sys, 0);
  const { view, body: at } = reply;
  view.setUint32(at, FUSE_KERNEL_VERSION, true);
  view.setUint32(at + 4, FUSE_MINOR_VERSION, true);
  view.setUint32(at + 8, MAX_READAHEAD_BYTES, true);
  view.setUint32(at + 12, flags, true);
  view.setUint16(at + 16, MAX_BACKGROUND, true);
  view.setUint16(at + 18, (MAX_BACKGROUND * 3) / 4, true);
  view.setUint32(at + 20, MAX_READ_BYTES, true);
  // Times are exact to the nanosecond.
  view.setUint32(at + 24, 1, true);
  view.setUint16(at + 28, MAX_PAGES, true);
  view.setUint32(at + 32, flags2, true);
  // The files that the kernel reads itself lie on a file system that stands on no other.
  view.setUint32(at + 36, passthrough ? 1 : 0, true);
  reply.send(device, request.unique, INIT_BYTES);
  return { minor: Math.min(minor, FUSE_MINOR_VERSION), passthrough };
}
