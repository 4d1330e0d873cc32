import { closeSync, fsyncSync, openSync, rmSync, writeSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { fromSystemError } from '@layerstore/core';
import { encodeRecord } from './record.js';

/** Raw bytes of one record: consecutive pieces are joined up to this size. */
const SEGMENT_BYTES = 64 * 1024;
/** Lines are compressed in pieces of at least this size, each one a gzip member of its own (RFC 1952, section 2.2). */
const MEMBER_BYTES = 1024 * 1024;
/** Records are mostly zeros: a higher level takes a fifth more time for the whole file, to save 15% of it. */
const GZIP_LEVEL = 3;

/**
 * Writes records to a new file, gzip'd, with memory of about 2 MiB whatever comes.
 *
 * Errors of the file system are thrown as StoreError, naming the file.
 */
export class RecordFile implements Disposable {
  readonly path: string;
  readonly #segment = Buffer.allocUnsafe(SEGMENT_BYTES);
  #segmentLength = 0;
  #lines = Buffer.allocUnsafe(MEMBER_BYTES + 2 * SEGMENT_BYTES);
  #linesLength = 0;
  #position = 0;
  #fd: number | undefined;
  #complete = false;

  /** The file must not exist; it is made with mode 0600. */
  constructor(path: string) {
    this.path = path;
    this.#fd = this.#attempt(() => openSync(path, 'wx', 0o600));
  }

  /** Adds raw bytes. */
  segment(bytes: Buffer): void {
    let start = 0;
    while (start < bytes.length) {
      const count = bytes.copy(this.#segment, this.#segmentLength, start);
      this.#segmentLength += count;
      start += count;
      if (this.#segmentLength === SEGMENT_BYTES) this.#endSegment();
    }
  }

  /** Ends the raw bytes before a file record, and returns the position that this record will have. */
  beginFile(): number {
    this.#endSegment();
    return this.#position;
  }

  /** Adds the record of a file that was begun. */
  file(name: Buffer, size: number, checksum: Buffer): void {
    this.#add(encodeRecord({ kind: 'file', name, size, checksum }, this.#position));
  }

  /** Writes what is left and syncs the file. */
  finish(): void {
    this.#endSegment();
    // An empty archive has no record, but its file is gzip all the same.
    if (this.#linesLength > 0 || this.#position === 0) this.#writeMember();
    const fd = this.#open();
    this.#attempt(() => fsyncSync(fd));
    this.#close();
    this.#complete = true;
  }

  /** Closes the file, and removes it unless it was finished. */
  [Symbol.dispose](): void {
    this.#close();
    if (!this.#complete) rmSync(this.path, { force: true });
  }

  #endSegment(): void {
    if (this.#segmentLength === 0) return;
    const payload = this.#segment.subarray(0, this.#segmentLength);
    this.#segmentLength = 0;
    this.#add(encodeRecord({ kind: 'segment', payload }, this.#position));
  }

  #add(line: string): void {
    // UTF-8 takes at most three bytes for each unit of a string.
    const most = 3 * line.length;
    if (most > this.#lines.length - this.#linesLength) {
      if (this.#linesLength > 0) this.#writeMember();
      if (most > this.#lines.length) this.#lines = Buffer.allocUnsafe(most);
    }
    this.#linesLength += this.#lines.write(line, this.#linesLength, 'utf8');
    this.#position += 1;
    if (this.#linesLength >= MEMBER_BYTES) this.#writeMember();
  }

  #writeMember(): void {
    const fd = this.#open();
    const member = gzipSync(this.#lines.subarray(0, this.#linesLength), { level: GZIP_LEVEL });
    this.#linesLength = 0;
    this.#attempt(() => {
      let written = 0;
      while (written < member.length) written += writeSync(fd, member, written);
    });
  }

  #open(): number {
    if (this.#fd === undefined) throw new Error('the file is closed');
    return this.#fd;
  }

  #close(): void {
    const fd = this.#fd;
    this.#fd = undefined;
    if (fd !== undefined) this.#attempt(() => closeSync(fd));
  }

  #attempt<T>(action: () => T): T {
    try {
      return action();
    } catch (error) {
      throw fromSystemError(error, this.path);
    }
  }
}
