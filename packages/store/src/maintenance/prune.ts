import { hasCode, isDigest, type ChainId, type Digest, type OperationOptions } from '@layerstore/core';
import type { StoreContext } from '../context.js';
import { allContainers } from '../containers/container-records.js';
import { countHolds } from '../containers/holds.js';
import { unmountView } from '../containers/mount.js';
import { removeContainer } from '../containers/remove.js';
import { decodeImage, namesOf, type ImageRecord } from '../images/image-records.js';
import { dropImage } from '../images/remove.js';
import { decodeLayer } from '../layers/layer-records.js';
import { releaseStack } from '../layers/release.js';
import { lockContainer } from '../locks.js';
import type { PruneReport } from '../model.js';
import { isAlive, noProcess } from '../process-mark.js';
import { Staging } from '../staging.js';
import { collectLeftovers } from './leftovers.js';

export interface PruneOptions extends OperationOptions {
  /** Also removes named images that no container uses. */
  readonly all?: boolean;
  /** Reports what would go and removes nothing. */
  readonly dryRun?: boolean;
}

/**
 * Removes images without a name (with `all`: every image without a container), layers that nothing stands on, workspaces of dead
 * processes, mounts that nobody holds, and the leftovers of interrupted work.
 */
export async function prune(context: StoreContext, options: PruneOptions): Promise<PruneReport> {
  const candidates = removableImages(context, options.all === true);
  if (options.dryRun === true) return forecast(context, candidates);
  await discardAbandonedWorkspaces(context);
  await dropUnheldMounts(context);
  const images: Digest[] = [];
  const layers: ChainId[] = [];
  let reclaimed = 0;
  for (const image of candidates) {
    const before = layerSizes(context);
    try {
      const staging = await Staging.create(context.paths);
      const removed = await dropImage(context, staging, image, namesOf(context.database, image.id));
      images.push(image.id);
      layers.push(...removed.deleted.slice(1));
      for (const chainId of removed.deleted.slice(1)) reclaimed += before.get(chainId) ?? 0;
    } catch (error) {
      // A container was made from it since the list was taken.
      if (!hasCode(error, 'ERR_BUSY')) throw error;
    }
  }
  const loose = await removeLooseLayers(context);
  const leftovers = await collectLeftovers(context);
  return {
    images,
    layers: [...layers, ...loose.layers],
    staging: leftovers.staging + leftovers.directories,
    reclaimed: reclaimed + loose.size + leftovers.bytes,
  };
}

function removableImages(context: StoreContext, all: boolean): ImageRecord[] {
  const unnamed = all ? '' : 'AND id NOT IN (SELECT image FROM names)';
  return context.database
    .prepare(`SELECT * FROM images WHERE id NOT IN (SELECT image FROM containers) ${unnamed} ORDER BY id`)
    .all()
    .map(decodeImage);
}

/** Layers that an interrupted load published before its image, or that were being built on when their image went. */
async function removeLooseLayers(context: StoreContext): Promise<{ layers: ChainId[]; size: number }> {
  const tops = context.database
    .prepare(
      `SELECT * FROM layers WHERE chain_id NOT IN (SELECT parent FROM layers WHERE parent IS NOT NULL)
         AND chain_id NOT IN (SELECT chain_id FROM images WHERE chain_id IS NOT NULL)
         AND chain_id NOT IN (SELECT chain_id FROM containers WHERE chain_id IS NOT NULL)
         AND chain_id NOT IN (SELECT chain_id FROM snapshots WHERE chain_id IS NOT NULL)`,
    )
    .all()
    .map(decodeLayer);
  const sizes = layerSizes(context);
  const layers: ChainId[] = [];
  for (const top of tops) {
    await using staging = await Staging.create(context.paths);
    layers.push(...(await releaseStack(context, staging, top.chainId, () => undefined)));
  }
  return { layers, size: layers.reduce((sum, chainId) => sum + (sizes.get(chainId) ?? 0), 0) };
}

async function discardAbandonedWorkspaces(context: StoreContext): Promise<void> {
  for (const workspace of allContainers(context.database, 'workspace').containers) {
    if (workspace.owner.pid === noProcess.pid || isAlive(workspace.owner)) continue;
    await removeContainer(context, workspace.id, { force: true });
  }
}

/** A process that was killed leaves its mount behind; whoever still works in it keeps it. */
async function dropUnheldMounts(context: StoreContext): Promise<void> {
  for (const container of allContainers(context.database).containers) {
    await using _lock = await lockContainer(context.paths, container.cacheId);
    if ((await context.database.write(() => countHolds(context.database, container.id))) > 0) continue;
    try {
      await unmountView(context, container);
    } catch (error) {
      if (!hasCode(error, 'ERR_BUSY')) throw error;
      context.logger.warn({ error, container: container.name }, 'a mount that nobody holds is in use');
    }
  }
}

function forecast(context: StoreContext, candidates: readonly ImageRecord[]): PruneReport {
  const { database } = context;
  const gone = new Set(candidates.map((image) => image.id));
  const kept = new Set(
    database
      .prepare(
        `SELECT id, chain_id FROM images UNION ALL SELECT id, chain_id FROM containers
           UNION ALL SELECT NULL, chain_id FROM snapshots`,
      )
      .all()
      .flatMap(({ id, chain_id }) => (isDigest(chain_id) && !(isDigest(id) && gone.has(id)) ? [chain_id] : [])),
  );
  const rows = database.prepare('SELECT * FROM layers ORDER BY depth DESC').all().map(decodeLayer);
  const layers = rows.filter((layer) => {
    if (!kept.has(layer.chainId)) return true;
    if (layer.parent !== undefined) kept.add(layer.parent);
    return false;
  });
  return {
    images: [...gone],
    layers: layers.map((layer) => layer.chainId),
    staging: 0,
    reclaimed: layers.reduce((sum, layer) => sum + layer.size, 0),
  };
}

function layerSizes(context: StoreContext): Map<ChainId, number> {
  const rows = context.database.prepare('SELECT chain_id, size FROM layers').all();
  return new Map(rows.flatMap(({ chain_id, size }) => (isDigest(chain_id) ? [[chain_id, Number(size)]] : [])));
}
