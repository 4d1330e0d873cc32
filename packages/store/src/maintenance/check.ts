import { existsSync } from 'node:fs';
import { hasCode, isDigest, StoreError, type OperationOptions } from '@layerstore/core';
import { readMountTable } from '@layerstore/linux';
import { parseImageConfig } from '@layerstore/oci';
import { blobPath, readDocument, tarSplitPath } from '../blobs.js';
import type { StoreContext } from '../context.js';
import { allContainers } from '../containers/container-records.js';
import { countHolds } from '../containers/holds.js';
import { allImages, decodeImage, type ImageRecord } from '../images/image-records.js';
import { allLayers, decodeLayer, layerStack, type LayerRecord } from '../layers/layer-records.js';
import { pendingOf, pendingOwners } from '../layers/pending.js';
import type { CheckReport, Finding } from '../model.js';
import { checkSnapshots } from '../snapshots/check.js';
import { Staging } from '../staging.js';
import { together } from '../together.js';

export interface CheckOptions extends OperationOptions {
  /** Also reads every layer back and compares its diff ID. Cost: reading all content. */
  readonly verify?: boolean;
}

/**
 * Compares database, home, blobs and mounts, and reports every disagreement. Changes nothing; other processes may go on
 * working, what they are in the middle of is no finding.
 */
export async function checkStore(context: StoreContext, options: CheckOptions): Promise<CheckReport> {
  const findings: Finding[] = [];
  const leftovers: Finding[] = [];
  checkDatabase(context, findings);
  const layers = await checkLayers(context, findings);
  const images = checkImages(context, findings);
  const containers = await checkContainers(context, findings, leftovers);
  const snapshots = await checkSnapshots(context, findings);
  await checkHome(context, findings);
  await checkStaging(context, leftovers);
  const verified = options.verify === true ? await verifyLayers(context, layers, findings, options) : 0;
  return {
    sound: findings.length === 0,
    findings,
    leftovers,
    checked: { layers: layers.length, images, containers, snapshots, verified },
  };
}

const reload = 'remove the images that stand on it (layerstore rmi --force) and load them again';

function checkDatabase(context: StoreContext, findings: Finding[]): void {
  const report = (problem: string): void => {
    findings.push({
      kind: 'database',
      subject: context.paths.database,
      problem,
      remedy: 'restore meta.db from a backup',
    });
  };
  for (const row of context.database.prepare('PRAGMA quick_check').all()) {
    const verdict = Object.values(row).find((value) => typeof value === 'string');
    if (verdict !== 'ok') report(`SQLite reports: ${String(verdict)}`);
  }
  for (const row of context.database.prepare('PRAGMA foreign_key_check').all()) {
    report(`a row of ${String(row['table'])} refers to a missing row of ${String(row['parent'])}`);
  }
}

async function checkLayers(context: StoreContext, findings: Finding[]): Promise<LayerRecord[]> {
  const { database, paths } = context;
  const driver = await context.driver();
  const sound: LayerRecord[] = [];
  for (const row of allLayers(database)) {
    const subject = String(row['chain_id']);
    try {
      const layer = decodeLayer(row);
      layerStack(database, layer.chainId);
      if (!(await driver.exists(layer.cacheId)))
        throw missing(`its directory ${layer.cacheId} is missing from the home`);
      await driver.plan(layer.cacheId, { readOnly: true });
      await driver.metadata(layer.cacheId);
      if (!existsSync(tarSplitPath(paths, layer.cacheId))) throw missing('its tar-split record is missing');
      sound.push(layer);
    } catch (error) {
      // It may have been removed since the list was read.
      if (database.prepare('SELECT 1 FROM layers WHERE chain_id = ?').get(subject) === undefined) continue;
      findings.push({ kind: 'layer', subject, problem: textOf(error), remedy: reload });
    }
  }
  return sound;
}

function checkImages(context: StoreContext, findings: Finding[]): number {
  const { database, paths } = context;
  const rows = allImages(database);
  for (const row of rows) {
    const subject = String(row['id']);
    try {
      checkImage(context, decodeImage(row));
    } catch (error) {
      if (database.prepare('SELECT 1 FROM images WHERE id = ?').get(subject) === undefined) continue;
      findings.push({
        kind: 'image',
        subject,
        problem: textOf(error),
        remedy: 'remove the image by its id and load it again',
      });
    }
  }
  for (const { digest } of database.prepare('SELECT digest FROM layer_blobs').all()) {
    if (isDigest(digest) && !existsSync(blobPath(paths, digest))) {
      findings.push({ kind: 'blob', subject: digest, problem: 'the kept layer is missing', remedy: reload });
    }
  }
  return rows.length;
}

function checkImage(context: StoreContext, image: ImageRecord): void {
  const config = parseImageConfig(readDocument(context.paths, image.id));
  if (image.manifest !== undefined) readDocument(context.paths, image.manifest);
  const stack = layerStack(context.database, image.chainId);
  const expected = config.rootfs.diff_ids;
  const differs = expected.length !== stack.length || expected.some((diffId, index) => diffId !== stack[index]?.diffId);
  if (differs) throw missing('its layers are not those that its config names');
}

async function checkContainers(context: StoreContext, findings: Finding[], leftovers: Finding[]): Promise<number> {
  const { database } = context;
  const driver = await context.driver();
  const { containers, damaged } = allContainers(database);
  for (const record of damaged) {
    findings.push({
      kind: 'container',
      subject: record.name,
      problem: record.damaged,
      remedy: 'restore meta.db from a backup',
    });
  }
  const mounted = new Set(readMountTable().map((mount) => mount.mountPoint));
  for (const container of containers) {
    try {
      if (!(await driver.exists(container.cacheId)))
        throw missing(`its directory ${container.cacheId} is missing from the home`);
      await driver.plan(container.cacheId);
    } catch (error) {
      if (database.prepare('SELECT 1 FROM containers WHERE id = ?').get(container.id) === undefined) continue;
      findings.push({
        kind: 'container',
        subject: container.name,
        problem: textOf(error),
        remedy: `layerstore rm --force ${container.name}`,
      });
      continue;
    }
    const held = (await database.write(() => countHolds(database, container.id))) > 0;
    if (!held && mounted.has(driver.mountPoint(container.cacheId))) {
      leftovers.push({
        kind: 'mount',
        subject: container.name,
        problem: 'mounted, but nobody holds it',
        remedy: 'layerstore prune unmounts it',
      });
    }
  }
  return containers.length;
}

/** Every directory of the home has a record. The list of directories comes first: records appear before directories. */
async function checkHome(context: StoreContext, findings: Finding[]): Promise<void> {
  const driver = await context.driver();
  const directories = await driver.list();
  const rows = context.database
    .prepare(
      'SELECT cache_id FROM layers UNION SELECT cache_id FROM containers UNION SELECT cache_id FROM pending UNION SELECT cache_id FROM snapshots',
    )
    .all();
  const known = new Set(rows.map((row) => String(row['cache_id'])));
  for (const id of directories) {
    if (known.has(id) || !(await driver.exists(id))) continue;
    findings.push({
      kind: 'home',
      subject: id,
      problem: 'a directory of the home has no record',
      remedy: 'it was not made by this store; look at it, then delete it by hand',
    });
  }
}

async function checkStaging(context: StoreContext, leftovers: Finding[]): Promise<void> {
  for (const id of new Set([...Staging.list(context.paths), ...pendingOwners(context.database)])) {
    if (!(await Staging.isAbandoned(context.paths, id))) continue;
    const directories = pendingOf(context.database, id).length;
    leftovers.push({
      kind: 'staging',
      subject: id,
      problem: `interrupted work, with ${directories} unpublished ${directories === 1 ? 'layer' : 'layers'}`,
      remedy: 'layerstore prune deletes it',
    });
  }
}

async function verifyLayers(
  context: StoreContext,
  layers: readonly LayerRecord[],
  findings: Finding[],
  options: CheckOptions,
): Promise<number> {
  const driver = await context.driver();
  const workers = await context.workers();
  let verified = 0;
  const verify = async (layer: LayerRecord, signal: AbortSignal): Promise<void> => {
    const task = `verify:${layer.chainId}`;
    const label = layer.diffId.slice('sha256:'.length, 'sha256:'.length + 12);
    options.onProgress?.({ kind: 'start', task, label, total: layer.tarSize });
    try {
      const { tree } = await driver.applyTarget(layer.cacheId);
      await workers.run(
        {
          kind: 'verify',
          tarSplitPath: tarSplitPath(context.paths, layer.cacheId),
          tree,
          diffId: layer.diffId,
          size: layer.tarSize,
        },
        {
          signal,
          onProgress: (done) => options.onProgress?.({ kind: 'advance', task, done, total: layer.tarSize }),
        },
      );
      verified += 1;
      options.onProgress?.({ kind: 'end', task, label, outcome: 'done' });
    } catch (error) {
      options.onProgress?.({ kind: 'end', task, label, outcome: 'failed' });
      if (hasCode(error, 'ERR_ABORTED')) throw error;
      findings.push({ kind: 'layer', subject: layer.chainId, problem: textOf(error), remedy: reload });
    }
  };
  await together(layers, verify, options.signal);
  return verified;
}

function missing(reason: string): StoreError {
  return new StoreError('ERR_STORE_DAMAGED', reason);
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
