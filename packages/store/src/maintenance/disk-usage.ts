import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode, parseLayerId, throwIfAborted, type LayerId, type OperationOptions } from '@layerstore/core';
import { containerSize } from '../containers/changes.js';
import { allContainers, type ContainerKind } from '../containers/container-records.js';
import { countHolds } from '../containers/holds.js';
import type { StoreContext } from '../context.js';
import type { DiskUsage, UsageRow } from '../model.js';
import { measureLayer } from '../snapshots/usage.js';
import { Staging } from '../staging.js';

/**
 * What the store's parts hold. Sizes of layers are bytes of file content, shared ones counted once.
 * Cost: sums in the database, and a walk of every container's own layer and of staging.
 */
export async function diskUsage(context: StoreContext, options: OperationOptions): Promise<DiskUsage> {
  return {
    images: imageUsage(context),
    layers: layerUsage(context),
    containers: await containerUsage(context, 'container', options),
    workspaces: await containerUsage(context, 'workspace', options),
    snapshots: await snapshotUsage(context, options),
    blobs: blobUsage(context),
    staging: await stagingUsage(context),
  };
}

function sum(context: StoreContext, sql: string): { count: number; size: number } {
  const row = context.database.prepare(sql).get();
  return { count: Number(row?.['count'] ?? 0), size: Number(row?.['size'] ?? 0) };
}

function imageUsage(context: StoreContext): UsageRow {
  const all = sum(context, 'SELECT count(*) AS count FROM images');
  const active = sum(context, 'SELECT count(DISTINCT image) AS count FROM containers');
  // What would go with the images that no container uses: the layers under none of the used ones.
  const kept = sum(
    context,
    `WITH RECURSIVE kept (chain_id) AS (
       SELECT chain_id FROM containers WHERE chain_id IS NOT NULL
       UNION SELECT chain_id FROM snapshots WHERE chain_id IS NOT NULL
       UNION SELECT parent FROM layers JOIN kept USING (chain_id) WHERE parent IS NOT NULL)
     SELECT count(*) AS count, sum(size) AS size FROM layers WHERE chain_id IN kept`,
  );
  const total = sum(context, 'SELECT count(*) AS count, sum(size) AS size FROM layers');
  return { count: all.count, active: active.count, size: total.size, reclaimable: total.size - kept.size };
}

function layerUsage(context: StoreContext): UsageRow {
  const all = sum(context, 'SELECT count(*) AS count, sum(size) AS size FROM layers');
  const used = sum(
    context,
    `WITH RECURSIVE used (chain_id) AS (
       SELECT chain_id FROM images WHERE chain_id IS NOT NULL
       UNION SELECT chain_id FROM containers WHERE chain_id IS NOT NULL
       UNION SELECT chain_id FROM snapshots WHERE chain_id IS NOT NULL
       UNION SELECT parent FROM layers JOIN used USING (chain_id) WHERE parent IS NOT NULL)
     SELECT count(*) AS count, sum(size) AS size FROM layers WHERE chain_id IN used`,
  );
  return { count: all.count, active: used.count, size: all.size, reclaimable: all.size - used.size };
}

async function containerUsage(
  context: StoreContext,
  kind: ContainerKind,
  options: OperationOptions,
): Promise<UsageRow> {
  const { containers } = allContainers(context.database, kind);
  let active = 0;
  let size = 0;
  let reclaimable = 0;
  for (const container of containers) {
    throwIfAborted(options.signal);
    const own = await containerSize(context, container);
    const held = (await context.database.write(() => countHolds(context.database, container.id))) > 0;
    size += own;
    if (held) active += 1;
    else reclaimable += own;
  }
  return { count: containers.length, active, size, reclaimable };
}

/** Engines own their snapshots: nothing of them is ours to reclaim. */
async function snapshotUsage(context: StoreContext, options: OperationOptions): Promise<UsageRow> {
  const ids = context.database
    .prepare('SELECT cache_id, size FROM snapshots WHERE cache_id IS NOT NULL')
    .all()
    .map(({ cache_id, size }) => ({ cacheId: parseLayerId(cache_id), size }));
  let size = 0;
  for (const snapshot of ids) {
    throwIfAborted(options.signal);
    size += typeof snapshot.size === 'number' ? snapshot.size : await ownSize(context, snapshot.cacheId);
  }
  const { count } = sum(context, 'SELECT count(*) AS count FROM snapshots');
  const active = sum(context, `SELECT count(*) AS count FROM snapshots WHERE kind <> 'committed'`);
  return { count, active: active.count, size, reclaimable: 0 };
}

/** It may have been removed since the list was read. */
async function ownSize(context: StoreContext, cacheId: LayerId): Promise<number> {
  try {
    return (await measureLayer(context, cacheId)).size;
  } catch (error) {
    if (hasCode(error, 'ERR_LAYER_NOT_FOUND', 'ERR_IO')) return 0;
    throw error;
  }
}

function blobUsage(context: StoreContext): UsageRow {
  const all = sum(context, 'SELECT count(*) AS count, sum(size) AS size FROM blobs');
  const kept = sum(context, 'SELECT count(*) AS count, sum(size) AS size FROM blobs JOIN layer_blobs USING (digest)');
  return { count: all.count, active: all.count - kept.count, size: all.size, reclaimable: kept.size };
}

async function stagingUsage(context: StoreContext): Promise<UsageRow> {
  let count = 0;
  let active = 0;
  let size = 0;
  let reclaimable = 0;
  for (const id of Staging.list(context.paths)) {
    const own = await directorySize(Staging.pathOf(context.paths, id));
    count += 1;
    size += own;
    if (await Staging.isAbandoned(context.paths, id)) reclaimable += own;
    else active += 1;
  }
  return { count, active, size, reclaimable };
}

/** Files may go while they are counted: another process is at work there. */
async function directorySize(path: string): Promise<number> {
  try {
    const names = await readdir(path, { recursive: true });
    const sizes = await Promise.all(
      names.map((name) => lstat(join(path, name)).then((status) => (status.isFile() ? status.size : 0))),
    );
    return sizes.reduce((total, size) => total + size, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw error;
  }
}
