import type { OperationOptions } from '@layerstore/core';
import { newImageConfig, normaliseReference } from '@layerstore/oci';
import { readDocument } from '../blobs.js';
import type { StoreContext } from '../context.js';
import { pendingOnExit } from '../images/load.js';
import { familiar } from '../images/names.js';
import { storeImage } from '../images/store-image.js';
import { findLayer, layerStack } from '../layers/layer-records.js';
import { makeLayer } from '../layers/make-layer.js';
import type { LoadedImage } from '../model.js';
import { Staging } from '../staging.js';
import { holdDiff } from './changes.js';
import { resolveContainer } from './container-records.js';

export interface CommitOptions extends OperationOptions {
  readonly message?: string;
  readonly author?: string;
  /** Dockerfile instructions for the config. */
  readonly changes?: readonly string[];
  /** RFC 3339 time for the config; default now. */
  readonly created?: string;
}

/**
 * Makes an image of a container: its image's layers and one more with what the container changed. Durable on return.
 * Cost: proportional to the changes; lower layers are not walked. Programs that write meanwhile may be caught half-way.
 * @throws StoreError ERR_CONTAINER_NOT_FOUND, ERR_INVALID_REFERENCE, ERR_MAX_DEPTH, ERR_STORE_DAMAGED, ERR_NO_SPACE
 */
export async function commitContainer(
  context: StoreContext,
  nameOrId: string,
  reference: string | undefined,
  options: CommitOptions,
): Promise<LoadedImage> {
  const { database, paths } = context;
  const references = reference === undefined ? [] : [normaliseReference(reference)];
  const container = resolveContainer(database, nameOrId);
  const parent = container.chainId === undefined ? undefined : findLayer(database, container.chainId);
  await using held = await holdDiff(context, container, 'archive');
  const { diff } = held;
  const workers = await context.workers();
  await using staging = await Staging.create(paths);
  await using _leftovers = pendingOnExit(context, staging);
  await using layer = await makeLayer(
    context,
    staging,
    parent,
    ({ tree }, tarSplitPath) =>
      workers.run(
        { kind: 'commit', diff, tree, tarSplitPath },
        { paired: true, ...(options.signal === undefined ? {} : { signal: options.signal }) },
      ),
    options.signal,
  );
  const config = newImageConfig(readDocument(paths, container.image), {
    diffId: layer.diffId,
    created: options.created ?? new Date().toISOString(),
    createdBy: `layerstore commit ${container.name}`,
    ...(options.author === undefined ? {} : { author: options.author }),
    ...(options.message === undefined ? {} : { comment: options.message }),
    changes: options.changes ?? [],
  });
  const id = await storeImage(
    context,
    staging,
    { config, references, chainId: layer.chainId, fresh: layer.fresh },
    options.signal,
  );
  const below = layerStack(database, parent?.chainId).map((record) => ({
    diffId: record.diffId,
    chainId: record.chainId,
    size: record.size,
    present: true,
  }));
  return { id, references: references.map(familiar), layers: [...below, ...layer.layers] };
}
