import { constants } from 'node:os';
import { DirectoryPage, OWN_ENTRIES } from './directory-page.js';
import { Failed, Later, type Answer, type FuseFileSystem } from './file-system.js';
import { ATTRIBUTES_BYTES, changingOpcodes, ENTRY_BYTES, MAX_READ_BYTES, opcode, openFlag } from './protocol.js';
import { errnoOf, type FuseReply } from './reply.js';
import type { FuseRequest } from './request.js';

const { EIO, ENODATA, ENOSYS, ERANGE, EROFS } = constants.errno;
const STATISTICS_BYTES = 80;
const NAME_MAX = 255;

export interface DispatcherParts {
  readonly fileSystem: FuseFileSystem;
  readonly reply: FuseReply;
  /** The kernel no longer waits for an answer to this request, for whoever asked got a signal. */
  readonly interrupted: (unique: bigint) => void;
  /** An exception of the file system, which the reader sees as EIO. */
  readonly failed: (error: unknown, node: number) => void;
}

/** Decodes requests, asks the file system, and writes the answers. */
export class FuseDispatcher {
  readonly #fileSystem: FuseFileSystem;
  readonly #reply: FuseReply;

  constructor(private readonly parts: DispatcherParts) {
    this.#fileSystem = parts.fileSystem;
    this.#reply = parts.reply;
  }

  /**
   * Answers a request on `device`, which must be the descriptor that it was read from.
   * @returns what it needs first, if it was not answered
   */
  answer(request: FuseRequest, device: number): Later | undefined {
    const { unique } = request;
    let answer: Answer<number> | undefined;
    try {
      answer = this.#body(request);
    } catch (error) {
      this.parts.failed(error, request.node);
      answer = new Failed(errnoOf(error));
    }
    if (answer instanceof Later) return answer;
    if (answer instanceof Failed) this.#reply.fail(device, unique, answer.errno);
    else if (answer !== undefined) this.#reply.send(device, unique, answer);
    return undefined;
  }

  /** Answers a request that {@link answer} put off with an error. */
  refuse(request: FuseRequest, device: number, errno = EIO): void {
    this.#reply.fail(device, request.unique, errno);
  }

  /** Builds the answer's body and returns its length; nothing for requests that take no answer. */
  #body(request: FuseRequest): Answer<number> | undefined {
    switch (request.opcode) {
      case opcode.lookup:
        return this.#lookup(request);
      case opcode.getattr:
        return this.#getattr(request);
      case opcode.readlink:
        return this.#readlink(request);
      case opcode.open:
        return this.#open(request);
      case opcode.read:
        return this.#read(request);
      case opcode.release:
        this.#fileSystem.release(request.node, request.number(request.body));
        return 0;
      case opcode.readdir:
        return this.#list(request, 'names');
      case opcode.readdirplus:
        return this.#list(request, 'attributes');
      case opcode.getxattr:
        return this.#getxattr(request);
      case opcode.listxattr:
        return this.#listxattr(request);
      case opcode.statfs:
        return this.#statfs(request);
      case opcode.interrupt:
        this.parts.interrupted(request.bigint(request.body));
        return undefined;
      case opcode.forget:
      case opcode.batchForget:
        // Nodes are not counted: their numbers name the same file for as long as the mount lives.
        return undefined;
      case opcode.destroy:
        return 0;
      default:
        // After ENOSYS the kernel never asks again: OPENDIR, RELEASEDIR, FLUSH, ACCESS, LSEEK, STATX, IOCTL, POLL.
        return new Failed(changingOpcodes.has(request.opcode) ? EROFS : ENOSYS);
    }
  }

  #lookup(request: FuseRequest): Answer<number> {
    const found = this.#fileSystem.lookup(request.node, request.name(request.body));
    if (found instanceof Later || found instanceof Failed) return found;
    if ('node' in found) this.#reply.putEntry(this.#reply.body, found);
    else if (found.absentSeconds > 0) this.#reply.putAbsence(this.#reply.body, found.absentSeconds);
    else return new Failed(constants.errno.ENOENT);
    return ENTRY_BYTES;
  }

  #getattr(request: FuseRequest): Answer<number> {
    const found = this.#fileSystem.attributes(request.node);
    if (found instanceof Later || found instanceof Failed) return found;
    this.#reply.putNumber(this.#reply.body, found.cacheSeconds);
    this.#reply.putNumber(this.#reply.body + 8, 0);
    this.#reply.putAttributes(this.#reply.body + 16, found.attributes);
    return 16 + ATTRIBUTES_BYTES;
  }

  #readlink(request: FuseRequest): Answer<number> {
    const target = this.#fileSystem.readLink(request.node);
    if (target instanceof Later || target instanceof Failed) return target;
    return this.#put(target);
  }

  #open(request: FuseRequest): Answer<number> {
    const opened = this.#fileSystem.open(request.node);
    if (opened instanceof Later || opened instanceof Failed) return opened;
    const { view, body } = this.#reply;
    const { handle, backingId } = opened;
    this.#reply.putNumber(body, handle);
    const flags = openFlag.noFlush | (backingId === undefined ? openFlag.keepCache : openFlag.passthrough);
    view.setUint32(body + 8, flags, true);
    view.setInt32(body + 12, backingId ?? 0, true);
    return 16;
  }

  #read(request: FuseRequest): Answer<number> {
    const { body } = request;
    const size = Math.min(request.uint32(body + 16), MAX_READ_BYTES);
    const into = this.#reply.bytes.subarray(this.#reply.body, this.#reply.body + size);
    return this.#fileSystem.read(request.node, request.number(body), request.number(body + 8), into);
  }

  #list(request: FuseRequest, form: 'names' | 'attributes'): Answer<number> {
    const { body } = request;
    const position = request.number(body + 8);
    const page = new DirectoryPage(this.#reply, Math.min(request.uint32(body + 16), MAX_READ_BYTES), form);
    if (position < OWN_ENTRIES && !page.addDots(position, request.node)) return page.length;
    const answer = this.#fileSystem.list(request.node, Math.max(position - OWN_ENTRIES, 0), (name, entry, next) =>
      page.add(name, entry, next + OWN_ENTRIES),
    );
    return answer ?? page.length;
  }

  #getxattr(request: FuseRequest): Answer<number> {
    const { body } = request;
    const value = this.#fileSystem.xattr(request.node, request.name(body + 8));
    if (value instanceof Later || value instanceof Failed) return value;
    return value === undefined ? new Failed(ENODATA) : this.#sized(value, request.uint32(body));
  }

  #listxattr(request: FuseRequest): Answer<number> {
    const names = this.#fileSystem.xattrNames(request.node);
    if (names instanceof Later || names instanceof Failed) return names;
    const terminated = names.flatMap((name) => [name, Buffer.from([0])]);
    return this.#sized(Buffer.concat(terminated), request.uint32(request.body));
  }

  /** Attributes are asked for twice: with room for nothing for their length, then for them. */
  #sized(value: Uint8Array, room: number): Answer<number> {
    if (room > 0) return value.length > room ? new Failed(ERANGE) : this.#put(value);
    this.#reply.putNumber(this.#reply.body, value.length);
    return 8;
  }

  #statfs(request: FuseRequest): Answer<number> {
    const found = this.#fileSystem.statistics(request.node);
    if (found instanceof Later || found instanceof Failed) return found;
    const { bytes, view, body } = this.#reply;
    bytes.fill(0, body, body + STATISTICS_BYTES);
    this.#reply.putNumber(body, found.blocks);
    this.#reply.putNumber(body + 24, found.files);
    view.setUint32(body + 40, 4096, true);
    view.setUint32(body + 44, NAME_MAX, true);
    view.setUint32(body + 48, 4096, true);
    return STATISTICS_BYTES;
  }

  #put(data: Uint8Array): number {
    this.#reply.bytes.set(data, this.#reply.body);
    return data.length;
  }
}
