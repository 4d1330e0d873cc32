import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { inflateSync } from 'node:zlib';
import type { ContentHash } from '../format/content-hash.js';
import { parseManifest, type Manifest } from '../format/manifest.js';
import { objectPath, type ObjectReference } from '../format/object-reference.js';
import { parseSignedText } from '../format/signed-text.js';
import type { PublisherKeys } from '../publish/publisher-keys.js';
import { Repository } from '../repository/repository.js';
import { RepositoryServer } from './repository-server.js';
import { TemporaryDirectory } from './temporary.js';

export interface PublishedRepositoryReader extends AsyncDisposable {
  readonly repository: Repository;
}

/** A client of a published repository, over HTTP and with a cache of its own. */
export async function openPublished(directory: string, keys: PublisherKeys): Promise<PublishedRepositoryReader> {
  const server = await RepositoryServer.start(directory, keys.repository);
  const cache = new TemporaryDirectory();
  const configuration = {
    name: keys.repository,
    servers: [server.url],
    masterKeys: [keys.publicMasterKey],
    cacheDirectory: cache.path,
  };
  const repository = await Repository.open({ configuration });
  return {
    repository,
    async [Symbol.asyncDispose]() {
      await repository[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
      cache[Symbol.dispose]();
    },
  };
}

/** The manifest that lies there, unverified. */
export function manifestOf(directory: string): Manifest {
  const { text } = parseSignedText(readFileSync(join(directory, '.cvmfspublished')), directory);
  return parseManifest(text, basename(directory));
}

/** What the program sqlite3 reads, without any code of ours. */
export const sqlite3 = {
  /** Path of an inflated copy beside the repository. */
  catalog(directory: string, hash: ContentHash): string {
    return inflated(directory, { kind: 'catalog', hash });
  },
  history(directory: string, hash: ContentHash): string {
    return inflated(directory, { kind: 'history', hash });
  },
  sha1(bytes: Buffer): string {
    return createHash('sha1').update(bytes).digest('hex');
  },
  rootCatalog(directory: string): string {
    return this.catalog(directory, manifestOf(directory).rootCatalog);
  },
  ask(database: string, sql: string): string {
    return execFileSync('sqlite3', [database, sql], { encoding: 'utf8' }).trim();
  },
};

function inflated(directory: string, object: Pick<ObjectReference, 'kind' | 'hash'>): string {
  const path = join(directory, '..', `${object.hash.hex}.sqlite`);
  writeFileSync(path, inflateSync(readFileSync(join(directory, objectPath(object)))));
  return path;
}
