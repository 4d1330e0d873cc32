import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromSystemError, reachedStep } from '@layerstore/core';
import { FileLock, hasErrno, writeFileDurably } from '@layerstore/linux';
import * as v from 'valibot';

/** What a repository sent last and what vouches for it, as it came: whoever reads it checks it again. */
export interface HeadDocuments {
  readonly manifest: Buffer;
  readonly whitelist: Buffer;
  /** PEM. */
  readonly certificate: Buffer;
}

const encoded = v.pipe(
  v.string(),
  v.transform((text) => Buffer.from(text, 'base64')),
);
const shape = v.object({ manifest: encoded, whitelist: encoded, certificate: encoded });

/** Keeps the newest head of a repository beside the object cache, for the time without a network and against roll-backs. */
export class HeadFile {
  readonly #path: string;

  /** @param directory of the repository in the cache directory */
  constructor(private readonly directory: string) {
    this.#path = join(directory, 'head.json');
  }

  /** Undefined where there is none, or none that can be read. @throws StoreError ERR_IO, ERR_NEEDS_ROOT */
  read(): HeadDocuments | undefined {
    let text: string;
    try {
      text = readFileSync(this.#path, 'utf8');
    } catch (error) {
      if (hasErrno(error, 'ENOENT')) return undefined;
      throw fromSystemError(error, this.#path);
    }
    const result = v.safeParse(v.pipe(v.string(), v.parseJson(), shape), text);
    return result.success ? result.output : undefined;
  }

  /**
   * Replaces the head, unless `isNewer` says that another process has put a newer one there meanwhile. On disk when the call returns.
   * @throws StoreError ERR_IO, ERR_NO_SPACE, ERR_NEEDS_ROOT, ERR_READ_ONLY
   */
  async replace(documents: HeadDocuments, isNewer: (present: HeadDocuments) => boolean): Promise<void> {
    try {
      mkdirSync(this.directory, { recursive: true, mode: 0o700 });
    } catch (error) {
      throw fromSystemError(error, this.directory);
    }
    await using _lock = await FileLock.acquire(join(this.directory, 'lock'));
    const present = this.read();
    if (present !== undefined && isNewer(present)) return;
    const entries = Object.entries(documents).map(([name, bytes]: [string, Buffer]) => [
      name,
      bytes.toString('base64'),
    ]);
    reachedStep('cvmfs.verified', this.#path);
    writeFileDurably(this.#path, `${JSON.stringify(Object.fromEntries(entries))}\n`);
    reachedStep('cvmfs.head', this.#path);
  }
}
