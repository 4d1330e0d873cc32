import { hasCode, isLayerId, parseLayerId, randomId, reachedStep, StoreError, type LayerId } from '@layerstore/core';
import type { StoreContext } from '../context.js';
import type { MetaDatabase } from '../database/meta-database.js';
import type { ResolvedImage } from '../images/resolve.js';
import { resolveImage } from '../images/resolve.js';
import { findLayer, type LayerRecord } from '../layers/layer-records.js';
import { addPending, deletePending, dropPending } from '../layers/pending.js';
import { noProcess, type ProcessMark } from '../process-mark.js';
import { Staging } from '../staging.js';
import { insertContainer, type ContainerKind, type ContainerRecord } from './container-records.js';

export interface CreateContainerOptions {
  /** 1 to 128 characters of `[A-Za-z0-9._-]`; default: the image's name and a random part. */
  readonly name?: string;
  /** Driver options for the writable layer. */
  readonly storageOptions?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export interface NewContainer extends CreateContainerOptions {
  readonly kind: ContainerKind;
  readonly owner?: ProcessMark;
  /** Fills the new, unmounted layer before it is published: how a workspace is forked. */
  readonly fill?: (cacheId: LayerId) => Promise<void>;
}

/**
 * Makes a writable layer over an image. Nothing is mounted. Durable on return.
 * Cost: a few directories (overlay2), a copy of the image (vfs).
 * @throws StoreError ERR_IMAGE_NOT_FOUND, ERR_EXISTS for a taken name, ERR_INVALID_ID, ERR_UNKNOWN_OPTION, ERR_MAX_DEPTH
 */
export async function createContainer(
  context: StoreContext,
  imageName: string,
  options: NewContainer,
): Promise<ContainerRecord> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await createOnce(context, imageName, options);
    } catch (error) {
      // A generated name can collide, and the image can be replaced and collected between the look and the publication.
      const again = hasCode(error, 'ERR_BUSY') || (options.name === undefined && hasCode(error, 'ERR_EXISTS'));
      if (!again || attempt === 5) throw error;
    }
  }
}

async function createOnce(context: StoreContext, imageName: string, options: NewContainer): Promise<ContainerRecord> {
  const { database, paths } = context;
  const { resolved, top } = database.read(() => {
    const found = resolveImage(database, imageName);
    return {
      resolved: found,
      top: found.image.chainId === undefined ? undefined : findLayer(database, found.image.chainId),
    };
  });
  const id = randomId();
  const container: ContainerRecord = {
    id,
    name: options.name === undefined ? generateName(resolved, id) : parseLayerId(options.name),
    kind: options.kind,
    image: resolved.image.id,
    imageReference: resolved.reference ?? resolved.image.id,
    chainId: resolved.image.chainId,
    cacheId: randomId(),
    owner: options.owner ?? noProcess,
    created: Date.now(),
  };
  refuseTakenName(database, container.name);
  await using staging = await Staging.create(paths);
  await database.write(() => addPending(database, container.cacheId, staging), options.signal);
  try {
    const driver = await context.driver();
    await driver.createReadWrite(container.cacheId, {
      ...(top === undefined ? {} : { parent: top.cacheId }),
      ...(options.storageOptions === undefined ? {} : { storageOptions: options.storageOptions }),
    });
    reachedStep('create.made', container.cacheId);
    await options.fill?.(container.cacheId);
    await database.write(() => {
      refuseTakenName(database, container.name);
      refuseVanishedImage(database, container, top);
      insertContainer(database, container);
      dropPending(database, container.cacheId);
    }, options.signal);
    reachedStep('create.committed', container.id);
  } catch (error) {
    await deletePending(context, staging.id);
    throw error;
  }
  return container;
}

function refuseTakenName(database: MetaDatabase, name: string): void {
  const taken = database.prepare('SELECT kind FROM containers WHERE name = ?').get(name);
  if (taken === undefined) return;
  throw new StoreError('ERR_EXISTS', `a ${String(taken['kind'])} with this name exists`, {
    subject: name,
    hint: 'choose another name, or remove that one first',
  });
}

function refuseVanishedImage(database: MetaDatabase, container: ContainerRecord, top: LayerRecord | undefined): void {
  const image = database.prepare('SELECT 1 FROM images WHERE id = ?').get(container.image);
  const layer = container.chainId === undefined ? undefined : findLayer(database, container.chainId);
  if (image !== undefined && layer?.cacheId === top?.cacheId) return;
  throw new StoreError('ERR_BUSY', 'the image was removed meanwhile', {
    subject: container.imageReference,
    hint: 'try again',
  });
}

/** `debian-3fa2c1`: the last part of the image's repository and six digits of the id. */
function generateName(resolved: ResolvedImage, id: LayerId): string {
  const repository =
    resolved.reference
      ?.replace(/@.*$/, '')
      .replace(/:[^/:]*$/, '')
      .split('/')
      .at(-1) ?? '';
  const stem = repository.slice(0, 100);
  return `${isLayerId(stem) ? stem : 'container'}-${id.slice(0, 6)}`;
}
