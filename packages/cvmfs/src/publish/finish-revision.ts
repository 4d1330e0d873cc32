import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileDurably } from '@layerstore/linux';
import { formatHash, hashBytes } from '../format/content-hash.js';
import type { Manifest } from '../format/manifest.js';
import type { CatalogFile } from './catalog-file.js';
import type { ObjectStage } from './object-stage.js';
import type { PublisherKeys } from './publisher-keys.js';
import { MANIFEST_FILE, REFLOG_FILE, type RepositoryDirectory } from './repository-directory.js';
import { signManifest } from './sign-documents.js';
import { updateHistory, type NewTag } from './update-history.js';
import { entriesOf, updateReflog } from './update-reflog.js';

/** Seconds after which clients look for a new revision, as the standard tools set it. */
const TIME_TO_LIVE = 240;

export interface PreparedRevision {
  readonly directory: RepositoryDirectory;
  readonly keys: PublisherKeys;
  /** Everything that the root catalog leads to is added. */
  readonly stage: ObjectStage;
  readonly rootCatalog: CatalogFile;
  /** The manifest in force; undefined for the first revision. */
  readonly head: Manifest | undefined;
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly tag?: NewTag | undefined;
}

/**
 * Publishes a revision: root catalog, history and certificate, then all objects to their places, then the reflog, and the signed manifest as
 * the last step. Before that step readers see the revision before; after it the new one is on disk.
 * @throws StoreError ERR_EXISTS for a tag that is there; ERR_NOT_FOUND, ERR_INVALID_ARGUMENT for keys; ERR_NO_SPACE, ERR_IO
 */
export async function finishRevision(prepared: PreparedRevision): Promise<Manifest> {
  const { directory, keys, stage, head, now, tag } = prepared;
  const timestamp = Math.max(Math.floor(now / 1000), head?.publishedAt ?? 0);
  const revision = (head?.revision ?? 0) + 1;
  prepared.rootCatalog.finish({
    TTL: String(TIME_TO_LIVE),
    revision: String(revision),
    previous_revision: head === undefined ? '0'.repeat(40) : formatHash(head.rootCatalog),
    last_modified: String(timestamp),
  });
  const rootCatalog = await stage.add('catalog', readFileSync(prepared.rootCatalog.path));
  const certificate = await stage.add('certificate', keys.certificate);
  const history = updateHistory(join(directory.staging, 'history'), {
    repository: keys.repository,
    previous: previousHistory(directory, head),
    rootCatalog,
    revision,
    timestamp,
    tag,
  });
  const named = {
    name: keys.repository,
    rootCatalog: rootCatalog.hash,
    rootCatalogSize: rootCatalog.size,
    revision,
    timeToLive: TIME_TO_LIVE,
    publishedAt: timestamp,
    certificate: certificate.hash,
    history: (await stage.add('history', history)).hash,
    metainfo: head?.metainfo,
    isGarbageCollectable: true,
    hasAlternativePath: false,
  };
  const reflogPath = join(directory.staging, 'reflog');
  const before = directory.readReflog();
  const reflog = updateReflog(reflogPath, keys.repository, before, head, entriesOf(named), timestamp);
  const manifest = { ...named, reflog: hashBytes('sha1', reflog) };
  const document = signManifest(manifest, keys);
  stage.publish();
  writeFileDurably(directory.file(REFLOG_FILE), reflog, 0o644);
  writeFileDurably(directory.file(MANIFEST_FILE), document, 0o644);
  return manifest;
}

function previousHistory(
  directory: RepositoryDirectory,
  head: Manifest | undefined,
): Parameters<typeof updateHistory>[1]['previous'] {
  if (head?.history === undefined) return undefined;
  return { hash: head.history, content: directory.readObject({ kind: 'history', hash: head.history }) };
}
