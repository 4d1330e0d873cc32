/**
 * Which home a socket serves, kept for restarts of the plugin: a running engine sends `Init` only once.
 *
 * ```
 * <state directory>/<hash of the socket's path>.json   the record
 * <state directory>/<hash of the socket's path>.lock   held by the process that serves the socket
 * ```
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { fromSystemError, StoreError } from '@layerstore/core';
import { FileLock, hasErrno, writeFileDurably } from '@layerstore/linux';

export interface RecordedHome {
  readonly driver: string;
  readonly home: string;
  /** `--storage-opt` of the engine, `KEY=VALUE` each. */
  readonly options: readonly string[];
}

const recordSchema = v.object({
  version: v.literal(1),
  socket: v.string(),
  driver: v.string(),
  home: v.string(),
  options: v.array(v.string()),
});

export class HomeRecord implements Disposable {
  private constructor(
    readonly path: string,
    private readonly socket: string,
    private readonly lock: FileLock,
  ) {}

  /** @throws StoreError ERR_BUSY when another process serves the socket */
  static async open(stateDirectory: string, socket: string): Promise<HomeRecord> {
    const name = join(stateDirectory, createHash('sha256').update(socket).digest('hex').slice(0, 24));
    try {
      mkdirSync(stateDirectory, { recursive: true, mode: 0o700 });
    } catch (error) {
      throw fromSystemError(error, stateDirectory);
    }
    const lock = await FileLock.tryAcquire(`${name}.lock`);
    if (lock !== undefined) return new HomeRecord(`${name}.json`, socket, lock);
    throw new StoreError('ERR_BUSY', 'another layerstore serves this socket', {
      subject: socket,
      hint: 'end it first, or give every engine a socket of its own',
    });
  }

  /** @throws StoreError ERR_STORE_DAMAGED */
  read(): RecordedHome | undefined {
    let text: string;
    try {
      text = readFileSync(this.path, 'utf8');
    } catch (error) {
      if (hasErrno(error, 'ENOENT')) return undefined;
      throw fromSystemError(error, this.path);
    }
    try {
      const { driver, home, options } = v.parse(recordSchema, JSON.parse(text));
      return { driver, home, options };
    } catch (cause) {
      throw new StoreError('ERR_STORE_DAMAGED', 'the record of the home cannot be read', {
        subject: this.path,
        hint: 'stop the engine, delete the file, start the engine again',
        cause,
      });
    }
  }

  write(record: RecordedHome): void {
    writeFileDurably(this.path, JSON.stringify({ version: 1, socket: this.socket, ...record }, undefined, 2), 0o600);
  }

  [Symbol.dispose](): void {
    this.lock.release();
  }
}
