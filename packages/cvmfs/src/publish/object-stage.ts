import { mkdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { deflate } from 'node:zlib';
import { fromSystemError } from '@layerstore/core';
import { syncFileSystem } from '@layerstore/linux';
import { hashBytes, type ContentHash } from '../format/content-hash.js';
import { objectPath, type ObjectKind } from '../format/object-reference.js';
import type { RepositoryDirectory } from './repository-directory.js';

const deflated = promisify(deflate);

/** An object as catalogs and manifests name it. */
export interface StoredObject {
  readonly hash: ContentHash;
  /** Bytes before compression. */
  readonly size: number;
}

/**
 * New objects of a publication. They are staged, brought to disk together, and only then renamed to their places: what lies under the name
 * of an object is whole, also after a power cut, and need not be written again.
 *
 * Compression runs in the threads of libuv, all else in the caller's.
 */
export class ObjectStage {
  readonly #staged = new Map<string, string>();
  readonly #directory: string;
  /** What the repository had not, catalogs included, and its bytes after compression. */
  writtenObjects = 0;
  writtenBytes = 0;

  /** The directory must be locked and swept. */
  constructor(private readonly repository: RepositoryDirectory) {
    this.#directory = join(repository.staging, 'objects');
    mkdirSync(this.#directory, { mode: 0o700 });
  }

  /** Compresses and stages a content, unless the repository has it. @throws StoreError ERR_NO_SPACE, ERR_IO */
  async add(kind: ObjectKind, content: Buffer): Promise<StoredObject> {
    const bytes = await deflated(content);
    const hash = hashBytes('sha1', bytes);
    const path = objectPath({ kind, hash });
    if (!this.#staged.has(path) && !this.#isPublished(path)) {
      const staged = join(this.#directory, path.replaceAll('/', '-'));
      try {
        writeFileSync(staged, bytes, { flag: 'wx', mode: 0o644 });
      } catch (error) {
        throw fromSystemError(error, staged);
      }
      this.#staged.set(path, staged);
      this.writtenObjects += 1;
      this.writtenBytes += bytes.length;
    }
    return { hash, size: content.length };
  }

  /** Moves everything to its place; on disk when the call returns. @throws StoreError ERR_NO_SPACE, ERR_IO */
  publish(): void {
    syncFileSystem(this.#directory);
    const folders = new Set<string>();
    for (const [path, staged] of this.#staged) {
      const target = this.repository.file(path);
      try {
        const folder = dirname(target);
        if (!folders.has(folder)) mkdirSync(folder, { recursive: true, mode: 0o755 });
        folders.add(folder);
        renameSync(staged, target);
      } catch (error) {
        throw fromSystemError(error, target);
      }
    }
    syncFileSystem(this.#directory);
    this.#staged.clear();
  }

  #isPublished(path: string): boolean {
    return statSync(this.repository.file(path), { throwIfNoEntry: false })?.isFile() === true;
  }
}
