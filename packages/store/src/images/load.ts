import { basename, resolve } from 'node:path';
import { digestHex, hasCode, type OperationOptions } from '@layerstore/core';
import type { ApplyLimits } from '@layerstore/archive';
import { normaliseReference, openImageSource, parsePlatform, type ImageRecord as SourceImage } from '@layerstore/oci';
import { blobPath } from '../blobs.js';
import type { StoreContext } from '../context.js';
import { fileContent } from '../layers/layer-content.js';
import { deletePending } from '../layers/pending.js';
import { unpackStack } from '../layers/unpack-stack.js';
import type { LoadedImage } from '../model.js';
import { seekableSource, type Source } from '../source.js';
import { Staging } from '../staging.js';
import { familiar } from './names.js';
import { keptBlobs, storeImage, type KeptBlob } from './store-image.js';

export interface LoadOptions extends OperationOptions {
  /** Which image of an index to take, for example `linux/arm64`; default: what this machine runs. */
  readonly platform?: string;
  /** Takes only the image with this name from an archive that holds several. */
  readonly reference?: string;
  /** Keeps compressed layers as they came, so that the image can be saved with its original manifest. Costs their size. */
  readonly keepBlobs?: boolean;
  /** Bounds on what a layer may unpack to. */
  readonly limits?: Partial<ApplyLimits>;
}

/**
 * Loads the images of a docker-archive or OCI layout. Each image is published in one step when all its layers are there;
 * layers that the store has are not unpacked again. Durable on return.
 * Cost: one pass over each missing layer in a worker thread, layers in parallel.
 * @throws StoreError ERR_MALFORMED_IMAGE, ERR_NO_PLATFORM, ERR_DIGEST_MISMATCH, ERR_SIZE_MISMATCH and what unpacking throws
 */
export async function loadImages(context: StoreContext, source: Source, options: LoadOptions): Promise<LoadedImage[]> {
  await using spool = await Staging.create(context.paths);
  const path = await seekableSource(source, spool, options.signal);
  await using images = await openImageSource(path, {
    scratch: spool.path,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  const selected = await images.images({
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    ...(options.platform === undefined ? {} : { platform: parsePlatform(options.platform) }),
    ...(options.reference === undefined ? {} : { reference: options.reference }),
  });
  const loaded: LoadedImage[] = [];
  for (const image of selected) {
    const named = { ...image, references: [...image.references, ...namesFromTags(image, source)] };
    loaded.push(await loadWithRetry(context, named, options));
  }
  return loaded;
}

/**
 * An OCI layout may name its images by tag alone, as umoci and `skopeo copy ... oci:DIR:TAG` do: there the directory or file is the repository.
 */
function namesFromTags(image: SourceImage, source: Source): string[] {
  if (!('path' in source) || image.references.length > 0) return [];
  const repository = basename(resolve(source.path))
    .replace(/\.(tar|tgz|tzst|gz|zst|oci|tar\.(gz|zst))$/i, '')
    .toLowerCase();
  return image.tags.flatMap((tag) => {
    try {
      return [normaliseReference(`${repository}:${tag}`)];
    } catch (error) {
      // A file may be called anything; the image is then loaded without a name.
      if (!hasCode(error, 'ERR_INVALID_REFERENCE')) throw error;
      return [];
    }
  });
}

/** A base layer can be removed by another process between the look and the publication; then all is looked at anew. */
async function loadWithRetry(context: StoreContext, image: SourceImage, options: LoadOptions): Promise<LoadedImage> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await loadImage(context, image, options);
    } catch (error) {
      if (attempt === 3 || !hasCode(error, 'ERR_BUSY')) throw error;
      context.logger.warn({ error, attempt }, 'a layer was removed during the load: starting again');
    }
  }
}

async function loadImage(context: StoreContext, image: SourceImage, options: LoadOptions): Promise<LoadedImage> {
  await using staging = await Staging.create(context.paths);
  await using _leftovers = pendingOnExit(context, staging);
  const inputs = image.layers.map((layer) => ({ ...layer, content: fileContent(layer.file) }));
  await using stack = await unpackStack(context, staging, inputs, options);
  const layerBlobs = options.keepBlobs === true ? await keepBlobs(context, staging, image, options) : [];
  const id = await storeImage(
    context,
    staging,
    {
      config: image.config.bytes,
      ...(image.manifest === undefined ? {} : { manifest: image.manifest }),
      references: image.references,
      chainId: stack.chainId,
      fresh: stack.fresh,
      layerBlobs,
    },
    options.signal,
  );
  return { id, references: image.references.map((name) => familiar(normaliseReference(name))), layers: stack.layers };
}

/** Whatever was not published by the end of the operation is deleted. */
export function pendingOnExit(context: StoreContext, staging: Staging): AsyncDisposable {
  return {
    [Symbol.asyncDispose]: async () => {
      await deletePending(context, staging.id);
    },
  };
}

async function keepBlobs(
  context: StoreContext,
  staging: Staging,
  image: SourceImage,
  options: OperationOptions,
): Promise<KeptBlob[]> {
  const workers = await context.workers();
  const kept: KeptBlob[] = [];
  for (const layer of image.layers) {
    if (layer.digest === undefined || layer.digest === layer.diffId) continue;
    if (keptBlobs(context.database, layer.diffId).some((blob) => blob.digest === layer.digest)) continue;
    const from = staging.file(`blob-${digestHex(layer.digest)}`);
    const { size, digest } = await workers.run(
      { kind: 'write', to: { path: from }, parts: [{ kind: 'file', ...layer.file }] },
      options.signal === undefined ? {} : { signal: options.signal },
    );
    kept.push({
      from,
      to: blobPath(context.paths, digest),
      digest,
      size,
      diffId: layer.diffId,
      mediaType: layer.mediaType ?? 'application/vnd.oci.image.layer.v1.tar+gzip',
    });
  }
  return kept;
}
