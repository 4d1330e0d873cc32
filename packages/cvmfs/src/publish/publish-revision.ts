import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { StoreError, type Digest } from '@layerstore/core';
import { formatHash, type ContentHash } from '../format/content-hash.js';
import { DIRECTORY, NESTED_MOUNT_POINT } from '../format/entry-flags.js';
import type { Manifest } from '../format/manifest.js';
import { CatalogFile } from './catalog-file.js';
import { directoryRow } from './directory-row.js';
import { finishRevision } from './finish-revision.js';
import { writeLayerCatalog } from './layer-catalog.js';
import { layerDirectory } from './layer-path.js';
import { ObjectStage } from './object-stage.js';
import { PublisherKeys } from './publisher-keys.js';
import { RepositoryDirectory } from './repository-directory.js';
import { checkTag, type NewTag } from './update-history.js';

/** A layer as a directory in overlay form. */
export interface LayerTreeToPublish {
  readonly digest: Digest;
  /** Absolute path. */
  readonly tree: string;
}

/** All that a thread needs to publish; a plain record. */
export interface RevisionJob {
  readonly directory: string;
  readonly repository: string;
  readonly keys: string;
  readonly layers: readonly LayerTreeToPublish[];
  readonly tag: NewTag | undefined;
  /** Milliseconds since 1970. */
  readonly now: number;
}

export interface PublishedRevision {
  readonly repository: string;
  readonly revision: number;
  readonly rootCatalog: ContentHash;
  /** Layers that were not there before. */
  readonly published: readonly Digest[];
  /** Objects that were not there before, catalogs included, and their bytes after compression. */
  readonly newObjects: number;
  readonly newBytes: number;
}

/** Which of these layers the repository lacks; in the order given, each once. @throws StoreError as {@link publishRevision} */
export function missingLayers(job: Omit<RevisionJob, 'layers' | 'tag'>, digests: readonly Digest[]): Digest[] {
  using catalog = openHead(job).rootCatalog;
  return [...new Set(digests)].filter((digest) => !hasLayer(catalog, digest));
}

/**
 * Publishes layers and a tag as one revision; without anything new the revision in force stays. The directory must be locked.
 * @throws StoreError ERR_NOT_FOUND where there is no repository or key; ERR_REPOSITORY_UNTRUSTED when what is there is not signed by the
 *   keys or its whitelist has expired; ERR_EXISTS for a tag that is there; ERR_LIMIT_EXCEEDED, ERR_NOT_SUPPORTED for a layer that a
 *   repository cannot hold; ERR_UNSUPPORTED_FORMAT for catalogs divided above the layers; ERR_NO_SPACE, ERR_IO, ERR_NEEDS_ROOT
 */
export async function publishRevision(job: RevisionJob): Promise<PublishedRevision> {
  if (job.tag !== undefined) checkTag(job.tag);
  const { directory, keys, head, rootCatalog } = openHead(job);
  using catalog = rootCatalog;
  const stage = new ObjectStage(directory);
  const published: Digest[] = [];
  for (const { digest, tree } of job.layers) {
    if (hasLayer(catalog, digest)) continue;
    await addLayer(catalog, { digest, tree }, { stage, now: job.now, directory });
    published.push(digest);
  }
  if (published.length === 0 && job.tag === undefined) {
    const { revision } = head;
    return {
      repository: keys.repository,
      revision,
      rootCatalog: head.rootCatalog,
      published,
      newObjects: 0,
      newBytes: 0,
    };
  }
  const manifest = await finishRevision({
    directory,
    keys,
    stage,
    rootCatalog: catalog,
    head,
    now: job.now,
    tag: job.tag,
  });
  return {
    repository: keys.repository,
    revision: manifest.revision,
    rootCatalog: manifest.rootCatalog,
    published,
    newObjects: stage.writtenObjects,
    newBytes: stage.writtenBytes,
  };
}

function openHead(job: Omit<RevisionJob, 'layers' | 'tag'>): {
  readonly directory: RepositoryDirectory;
  readonly keys: PublisherKeys;
  readonly head: Manifest;
  readonly rootCatalog: CatalogFile;
} {
  const directory = new RepositoryDirectory(job.directory);
  const keys = new PublisherKeys(job.keys, job.repository);
  const head = directory.readHead(keys, job.now);
  const path = join(directory.staging, `root-${formatHash(head.rootCatalog)}`);
  const content = directory.readObject({ kind: 'catalog', hash: head.rootCatalog });
  writeFileSync(path, content, { mode: 0o600 });
  return { directory, keys, head, rootCatalog: CatalogFile.open(path) };
}

function hasLayer(catalog: CatalogFile, digest: Digest): boolean {
  return catalog.flagsOf(Buffer.from(layerDirectory(digest))) !== undefined;
}

async function addLayer(
  catalog: CatalogFile,
  { digest, tree }: LayerTreeToPublish,
  {
    stage,
    now,
    directory,
  }: { readonly stage: ObjectStage; readonly now: number; readonly directory: RepositoryDirectory },
): Promise<void> {
  const path = layerDirectory(digest);
  const file = join(directory.staging, `layer-${path.slice(path.lastIndexOf('/') + 1)}`);
  const nested = await writeLayerCatalog({ stage, tree, path, file, now });
  const folder = path.slice(0, path.lastIndexOf('/'));
  const layers = folder.slice(0, folder.lastIndexOf('/'));
  ensureDirectory(catalog, layers, '', now);
  ensureDirectory(catalog, folder, layers, now);
  const row = directoryRow(Buffer.from(path), now);
  catalog.insert({ ...row, flags: row.flags | NESTED_MOUNT_POINT, links: 3 });
  catalog.addDirectoryLink(Buffer.from(folder));
  catalog.addNested(path, nested);
}

function ensureDirectory(catalog: CatalogFile, path: string, parent: string, now: number): void {
  const flags = catalog.flagsOf(Buffer.from(path));
  if (flags === undefined) {
    catalog.insert(directoryRow(Buffer.from(path), now));
    catalog.addDirectoryLink(Buffer.from(parent));
    return;
  }
  if (flags === DIRECTORY) return;
  throw new StoreError('ERR_UNSUPPORTED_FORMAT', 'there is no plain directory of the root catalog', {
    subject: path,
    hint: 'publish to a repository that layerstore made',
  });
}
