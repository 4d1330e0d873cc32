import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { TarReader, type TarEntry } from '@layerstore/archive';
import { errorAbout } from './error-about.js';
import { linkTarget, memberName, type Member, type MemberPlace, type Members } from './members.js';

/** Headers that an image archive may have; 500 layers in the oldest form take 2,000. */
export const MEMBER_LIMIT = 100_000;

const BLOCK = 512;
const CHUNK = 1024 * 1024;

/**
 * The table of contents of a tar in a regular file: where each file's bytes lie.
 *
 * Opening reads the headers only: content is skipped by seeking, so the cost is one read per 512 bytes of header whatever the
 * size of the layers. It is synchronous, and takes about a millisecond for a hundred members.
 */
export class TarMembers implements Members {
  readonly form = 'archive';
  readonly #members: ReadonlyMap<string, Member>;

  private constructor(
    readonly subject: string,
    members: ReadonlyMap<string, Member>,
  ) {
    this.#members = members;
  }

  /**
   * @param subject what errors call the archive
   * @throws StoreError ERR_MALFORMED_ARCHIVE, ERR_TRUNCATED, ERR_LIMIT_EXCEEDED above {@link MEMBER_LIMIT} headers
   */
  static open(path: string, subject = path): TarMembers {
    try {
      return new TarMembers(subject, readTable(path));
    } catch (cause) {
      throw errorAbout(cause, subject, 'is it an image archive? plain, gzip and zstd ones can be read');
    }
  }

  lookup(name: string): Promise<Member | undefined> {
    return Promise.resolve(this.#members.get(name));
  }

  names(): Promise<Iterable<string>> {
    return Promise.resolve(this.#members.keys());
  }
}

function readTable(path: string): Map<string, Member> {
  const fd = openSync(path, 'r');
  try {
    return readHeaders(path, fd);
  } finally {
    closeSync(fd);
  }
}

function readHeaders(path: string, fd: number): Map<string, Member> {
  const headers = new HeaderSource(fd, fstatSync(fd).size);
  const reader = new TarReader(headers, { limits: { members: MEMBER_LIMIT }, observer: headers });
  const members = new Map<string, Member>();
  for (let entry = reader.next(); entry !== undefined; entry = reader.next()) {
    const offset = headers.passed;
    const name = memberName(entry.name.toString());
    // The map of a sparse file may stand in its content, so that is not skipped.
    if (entry.type === 'file' && entry.sparse === undefined) headers.skipTo(offset + entry.size);
    if (name === undefined) continue;
    const former = members.get(name);
    const repeated = former !== undefined && (former.repeated || entry.type !== 'directory' || former.kind !== 'other');
    members.set(name, { ...toMember(path, name, entry, offset), repeated });
  }
  return members;
}

function toMember(path: string, name: string, entry: TarEntry, offset: number): MemberPlace {
  if (entry.sparse !== undefined) return { kind: 'other', type: 'sparse file' };
  const text = entry.linkName.toString();
  switch (entry.type) {
    case 'file':
      return { kind: 'file', range: { path, offset, length: entry.size } };
    case 'symlink':
      return { kind: 'link', text, target: linkTarget(name.slice(0, Math.max(name.lastIndexOf('/'), 0)), text) };
    case 'hardlink':
      return { kind: 'link', text, target: linkTarget('', text) };
    default:
      return { kind: 'other', type: entry.type };
  }
}

/** Delivers an archive to a tar reader with zeros in place of content that nobody looks at. */
class HeaderSource implements Iterable<Buffer> {
  readonly #zeros = Buffer.alloc(CHUNK);
  readonly #block = Buffer.alloc(CHUNK);
  #position = 0;
  #skipEnd = 0;
  /** Bytes that the reader has passed: after a header, where the content begins. */
  passed = 0;

  constructor(
    readonly fd: number,
    readonly size: number,
  ) {}

  segment(bytes: Buffer): void {
    this.passed += bytes.length;
  }

  payload(bytes: Buffer): void {
    this.passed += bytes.length;
  }

  skipTo(position: number): void {
    this.#skipEnd = position;
  }

  *[Symbol.iterator](): Generator<Buffer> {
    // Blocks one by one between the members; a long stretch without any (extension headers, a tail) in growing reads.
    let length = BLOCK;
    while (this.#position < this.size) {
      const skip = Math.min(this.#skipEnd, this.size) - this.#position;
      if (skip > 0) {
        length = BLOCK;
        yield this.#deliver(this.#zeros.subarray(0, Math.min(skip, CHUNK)));
        continue;
      }
      const count = readSync(this.fd, this.#block, 0, length, this.#position);
      if (count === 0) return;
      length = Math.min(length * 2, CHUNK);
      yield this.#deliver(this.#block.subarray(0, count));
    }
  }

  #deliver(chunk: Buffer): Buffer {
    this.#position += chunk.length;
    return chunk;
  }
}
