/**
 * Makes sure that every layer of a stack is there: what is present is left alone, the rest is unpacked, in parallel where
 * the driver allows it.
 */
import {
  chainIds,
  reachedStep,
  randomId,
  StoreError,
  type ChainId,
  type Digest,
  type DiffId,
  type LayerId,
  type OperationOptions,
} from '@layerstore/core';
import type { AppliedLayer, ApplyLimits, ArchiveWorkers, BlobSource } from '@layerstore/archive';
import { settleLayer, type ApplyTarget, type GraphDriver } from '@layerstore/drivers';
import type { StoreContext } from '../context.js';
import { ChainLocks } from '../locks.js';
import type { LoadedLayer } from '../model.js';
import type { Staging } from '../staging.js';
import { together } from '../together.js';
import { findLayer, type LayerRecord } from './layer-records.js';
import type { LayerContent } from './layer-content.js';
import { addPending } from './pending.js';
import type { UnpublishedLayer } from './publish.js';

/** A layer's blob, in any supported compression. */
export interface LayerInput {
  readonly diffId: DiffId;
  readonly content: LayerContent;
  /** Digest and size of the blob itself, where its container states them. */
  readonly digest?: Digest;
  readonly size?: number;
}

export interface UnpackOptions extends OperationOptions {
  readonly limits?: Partial<ApplyLimits>;
}

/** A stack that is complete on disk; `fresh` layers still wait to be published. Disposing releases the chain locks. */
export interface UnpackedStack extends AsyncDisposable {
  readonly chainId: ChainId | undefined;
  readonly layers: readonly LoadedLayer[];
  readonly fresh: readonly UnpublishedLayer[];
}

interface PlannedLayer {
  readonly input: LayerInput;
  readonly chainId: ChainId;
  readonly parent: ChainId | undefined;
  readonly depth: number;
  readonly cacheId: LayerId;
  readonly parentCacheId: LayerId | undefined;
  readonly tarSplit: string;
}

/**
 * @throws StoreError ERR_DIGEST_MISMATCH, ERR_SIZE_MISMATCH, ERR_MALFORMED_ARCHIVE, ERR_ARCHIVE_ESCAPE, ERR_TRUNCATED,
 *   ERR_LIMIT_EXCEEDED, ERR_MAX_DEPTH, ERR_NO_SPACE, ERR_ABORTED; what was begun stays pending under `staging`
 */
export async function unpackStack(
  context: StoreContext,
  staging: Staging,
  inputs: readonly LayerInput[],
  options: UnpackOptions,
): Promise<UnpackedStack> {
  const chain = chainIds(inputs.map((input) => input.diffId));
  const locks = new ChainLocks(context.paths);
  try {
    const present = await lockStack(context, locks, chain, inputs, options);
    const planned = planLayers(inputs, chain, present, staging);
    reportPresent(present, options);
    const applied = planned.length === 0 ? [] : await unpack(context, staging, planned, options);
    const fresh = planned.map((layer, index) => unpublished(layer, applied[index]));
    return {
      chainId: chain.at(-1),
      layers: [...present.map((layer) => loaded(layer, true)), ...fresh.map((layer) => loaded(layer, false))],
      fresh,
      [Symbol.asyncDispose]: () => locks[Symbol.asyncDispose](),
    };
  } catch (error) {
    await locks[Symbol.asyncDispose]();
    throw error;
  }
}

/** Locks the stack from the base up and returns the layers that are there; the first missing one ends the list. */
async function lockStack(
  context: StoreContext,
  locks: ChainLocks,
  chain: readonly ChainId[],
  inputs: readonly LayerInput[],
  options: UnpackOptions,
): Promise<LayerRecord[]> {
  const present: LayerRecord[] = [];
  for (const [index, chainId] of chain.entries()) {
    const onWait = (): void =>
      options.onProgress?.({
        kind: 'wait',
        task: taskOf(inputs[index]),
        label: labelOf(inputs[index]),
        reason: 'another process is unpacking this layer',
      });
    await locks.acquire(chainId, 'shared', { signal: options.signal, onWait });
    if (findLayer(context.database, chainId) === undefined) {
      await locks.acquire(chainId, 'exclusive', { signal: options.signal, onWait });
    }
    const layer = findLayer(context.database, chainId);
    if (layer !== undefined) present.push(layer);
  }
  return present;
}

function planLayers(
  inputs: readonly LayerInput[],
  chain: readonly ChainId[],
  present: readonly LayerRecord[],
  staging: Staging,
): PlannedLayer[] {
  const planned: PlannedLayer[] = [];
  for (const [index, input] of inputs.entries()) {
    if (index < present.length) continue;
    const cacheId = randomId();
    const chainId = chain[index];
    if (chainId === undefined) continue;
    planned.push({
      input,
      chainId,
      parent: chain[index - 1],
      depth: index + 1,
      cacheId,
      parentCacheId: planned.at(-1)?.cacheId ?? present.at(-1)?.cacheId,
      tarSplit: staging.file(`tar-split-${cacheId}`),
    });
  }
  return planned;
}

async function unpack(
  context: StoreContext,
  staging: Staging,
  planned: readonly PlannedLayer[],
  options: UnpackOptions,
): Promise<AppliedLayer[]> {
  const driver = await context.driver();
  const workers = await context.workers();
  const top = planned.at(-1);
  if (top !== undefined && top.depth > driver.abilities.maxDepth) {
    throw new StoreError(
      'ERR_MAX_DEPTH',
      `the image has ${top.depth} layers, ${driver.name} can mount ${driver.abilities.maxDepth}`,
      {
        subject: top.chainId,
        hint: 'rebuild the image with fewer layers',
      },
    );
  }
  await context.database.write(() => {
    for (const layer of planned) addPending(context.database, layer.cacheId, staging);
  }, options.signal);
  reachedStep('unpack.announced', staging.id);
  const stop = new AbortController();
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([stop.signal, options.signal]);
  const job: Unpacking = { driver, workers, options, signal };
  for (const layer of bySize(planned)) layer.input.content.begin(signal);
  try {
    return await (driver.abilities.independentLayers ? unpackTogether(job, planned) : unpackInOrder(job, planned));
  } catch (error) {
    stop.abort();
    throw error;
  }
}

interface Unpacking {
  readonly driver: GraphDriver;
  readonly workers: ArchiveWorkers;
  readonly options: UnpackOptions;
  /** Of the caller, and of the first failure: it ends what was begun. */
  readonly signal: AbortSignal;
}

/** The largest first: it decides when all are done. */
function bySize(planned: readonly PlannedLayer[]): PlannedLayer[] {
  return [...planned].sort((one, two) => sizeOf(two) - sizeOf(one));
}

/** All layers at once; the first failure stops the others, and it is the one that is reported. */
async function unpackTogether(job: Unpacking, planned: readonly PlannedLayer[]): Promise<AppliedLayer[]> {
  const targets = new Map<PlannedLayer, ApplyTarget>();
  for (const layer of planned) targets.set(layer, await create(job, layer));
  const results = new Map<PlannedLayer, AppliedLayer>();
  const paired = layerForTwoThreads(planned);
  await together(
    bySize(planned),
    async (layer, signal) => {
      const target = targets.get(layer);
      if (target === undefined) return;
      const threads = layer === paired ? 'two threads' : 'one thread';
      results.set(layer, await apply(job, layer, target, threads, signal));
    },
    job.signal,
  );
  for (const layer of planned) await settle(job, layer, results.get(layer));
  return planned.flatMap((layer) => results.get(layer) ?? []);
}

/** Below this many bytes of blob a second thread costs more than it saves. */
const worthTwoThreads = 4 * 1024 * 1024;

/** The layer that makes up most of the work: while it is unpacked by one thread, the others would be idle. */
function layerForTwoThreads(planned: readonly PlannedLayer[]): PlannedLayer | undefined {
  const total = planned.reduce((sum, layer) => sum + sizeOf(layer), 0);
  return planned.find((layer) => sizeOf(layer) >= worthTwoThreads && sizeOf(layer) * 2 > total);
}

function sizeOf(layer: PlannedLayer): number {
  return layer.input.content.length;
}

/** For drivers whose layers hold their parents' content. */
async function unpackInOrder(job: Unpacking, planned: readonly PlannedLayer[]): Promise<AppliedLayer[]> {
  const applied: AppliedLayer[] = [];
  for (const layer of planned) {
    const target = await create(job, layer);
    const threads = sizeOf(layer) >= worthTwoThreads ? 'two threads' : 'one thread';
    const result = await apply(job, layer, target, threads, job.signal);
    await settle(job, layer, result);
    applied.push(result);
  }
  return applied;
}

async function create(job: Unpacking, layer: PlannedLayer): Promise<ApplyTarget> {
  await job.driver.create(layer.cacheId, layer.parentCacheId === undefined ? {} : { parent: layer.parentCacheId });
  reachedStep('unpack.created', layer.cacheId);
  return job.driver.applyTarget(layer.cacheId);
}

async function apply(
  job: Unpacking,
  layer: PlannedLayer,
  target: ApplyTarget,
  threads: 'one thread' | 'two threads',
  signal: AbortSignal,
): Promise<AppliedLayer> {
  const { onProgress, limits } = job.options;
  const task = taskOf(layer.input);
  const label = labelOf(layer.input);
  const total = sizeOf(layer);
  const expect = {
    diffId: layer.input.diffId,
    ...(layer.input.digest === undefined ? {} : { digest: layer.input.digest }),
    ...(layer.input.size === undefined ? {} : { size: layer.input.size }),
  };
  const { tree } = target;
  const bounds = limits === undefined ? {} : { limits };
  const use = (source: BlobSource, stop: AbortSignal): Promise<AppliedLayer> => {
    onProgress?.({ kind: 'start', task, label, total });
    return job.workers.run(
      { kind: 'apply', source, compression: 'auto', expect, tree, tarSplitPath: layer.tarSplit, ...bounds },
      {
        signal: stop,
        paired: threads === 'two threads',
        onProgress: (done) => onProgress?.({ kind: 'advance', task, done, total }),
      },
    );
  };
  try {
    const applied = await layer.input.content.read(use, signal);
    onProgress?.({ kind: 'end', task, label, outcome: 'done' });
    reachedStep('unpack.applied', layer.cacheId);
    return applied;
  } catch (error) {
    onProgress?.({ kind: 'end', task, label, outcome: 'failed' });
    throw error;
  }
}

/** What a tar leaves to its parents, once they are complete. */
async function settle(job: Unpacking, layer: PlannedLayer, applied: AppliedLayer | undefined): Promise<void> {
  if (applied === undefined) return;
  const target = await job.driver.applyTarget(layer.cacheId);
  await settleLayer(job.driver, job.workers, layer.cacheId, { target, deferred: applied.deferred });
  await job.driver.finishApply(layer.cacheId);
}

function unpublished(layer: PlannedLayer, applied: AppliedLayer | undefined): UnpublishedLayer {
  if (applied === undefined) throw new StoreError('ERR_INTERNAL', 'a layer has no result', { subject: layer.chainId });
  return {
    chainId: layer.chainId,
    diffId: layer.input.diffId,
    parent: layer.parent,
    cacheId: layer.cacheId,
    parentCacheId: layer.parentCacheId,
    size: applied.contentSize,
    tarSize: applied.tarSize,
    depth: layer.depth,
    created: Date.now(),
    tarSplit: layer.tarSplit,
  };
}

function loaded(layer: LayerRecord, present: boolean): LoadedLayer {
  return { diffId: layer.diffId, chainId: layer.chainId, size: layer.size, present };
}

function reportPresent(present: readonly LayerRecord[], options: UnpackOptions): void {
  for (const layer of present) {
    options.onProgress?.({
      kind: 'end',
      task: `layer:${layer.diffId}`,
      label: shortLabel(layer.diffId),
      outcome: 'present',
    });
  }
}

function taskOf(input: LayerInput | undefined): string {
  return `layer:${input?.diffId ?? ''}`;
}

function labelOf(input: LayerInput | undefined): string {
  return shortLabel(input?.diffId ?? '');
}

function shortLabel(diffId: string): string {
  return diffId.replace(/^sha256:/, '').slice(0, 12);
}
