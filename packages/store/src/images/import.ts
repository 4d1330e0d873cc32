import type { OperationOptions } from '@layerstore/core';
import { hostPlatform, newImageConfig, normaliseReference, parsePlatform } from '@layerstore/oci';
import type { StoreContext } from '../context.js';
import { pendingOnExit } from './load.js';
import { makeLayer } from '../layers/make-layer.js';
import type { LoadedImage } from '../model.js';
import { seekableSource, type Source } from '../source.js';
import { Staging } from '../staging.js';
import { familiar } from './names.js';
import { storeImage } from './store-image.js';

export interface ImportOptions extends OperationOptions {
  /** Dockerfile instructions for the config: `CMD ["sh"]`, `ENV A=b`, `WORKDIR /srv` ... */
  readonly changes?: readonly string[];
  readonly message?: string;
  readonly platform?: string;
  /** RFC 3339 time for the config; default now. */
  readonly created?: string;
}

/**
 * Makes an image of one layer from a root file system's tar (plain, gzip or zstd). Durable on return.
 * Cost: one pass over the tar in a worker thread.
 * @throws StoreError ERR_INVALID_REFERENCE, ERR_INVALID_ARGUMENT for a change, and what unpacking throws
 */
export async function importImage(
  context: StoreContext,
  source: Source,
  reference: string,
  options: ImportOptions,
): Promise<LoadedImage> {
  const canonical = normaliseReference(reference);
  await using staging = await Staging.create(context.paths);
  await using _leftovers = pendingOnExit(context, staging);
  const path = await seekableSource(source, staging, options.signal);
  const workers = await context.workers();
  await using layer = await makeLayer(
    context,
    staging,
    undefined,
    ({ tree }, tarSplitPath) =>
      workers.run(
        { kind: 'apply', source: { path }, compression: 'auto', tree, tarSplitPath },
        options.signal === undefined ? {} : { signal: options.signal },
      ),
    options.signal,
  );
  const config = newImageConfig(undefined, {
    diffId: layer.diffId,
    platform: options.platform === undefined ? hostPlatform() : parsePlatform(options.platform),
    created: options.created ?? new Date().toISOString(),
    createdBy: 'layerstore import',
    ...(options.message === undefined ? {} : { comment: options.message }),
    changes: options.changes ?? [],
  });
  const id = await storeImage(
    context,
    staging,
    { config, references: [canonical], chainId: layer.chainId, fresh: layer.fresh },
    options.signal,
  );
  return { id, references: [familiar(canonical)], layers: layer.layers };
}
