import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { StoreError, type OperationOptions } from '@layerstore/core';
import type { NewTag, PublishedRevision, PublisherKeys } from '@layerstore/cvmfs';
import { normaliseReference } from '@layerstore/oci';
import type { LayerStore } from '../layer-store.js';
import type { LoadedImage } from '../model.js';
import { publishArchive } from './publish-archive.js';
import { thinArchive } from './thin-archive.js';
import type { ThinDocument } from './thin-document.js';

export interface MakeThinImageOptions extends OperationOptions {
  /** Root of the repository on disk. */
  readonly directory: string;
  readonly keys: PublisherKeys;
  readonly tag?: NewTag;
  /** Directory with room for the image's layers as tars. */
  readonly scratch: string;
}

export interface MadeThinImage {
  readonly revision: PublishedRevision;
  readonly thin: ThinDocument;
  readonly image: LoadedImage;
}

/**
 * Publishes the layers of an image of the store, each known by its diff ID, and makes the thin image of them in the store. All settings of
 * the image stay; when it fails the store is as before.
 * @param image name or ID
 * @param reference name of the thin image
 * @throws StoreError ERR_IMAGE_NOT_FOUND, ERR_INVALID_REFERENCE; as {@link publishArchive}; as `images.save` and `images.load`
 */
export async function makeThinImage(
  store: LayerStore,
  image: string,
  reference: string,
  options: MakeThinImageOptions,
): Promise<MadeThinImage> {
  const name = normaliseReference(reference);
  const { scratch, onProgress, ...publishing } = options;
  const operation = {
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    ...(onProgress === undefined ? {} : { onProgress }),
  };
  const { references } = await store.images.inspect(image);
  const directory = await mkdtemp(join(scratch, 'layerstore-thin-'));
  try {
    const layout = join(directory, 'image');
    await store.images.save([image], { path: layout }, { ...operation, format: 'oci-dir', compression: 'none' });
    const { revision, images } = await publishArchive(layout, { ...publishing, scratch: directory });
    const [published] = images;
    if (published === undefined) throw noImage(image);
    const thin = { ...published.thin, origin: references[0] ?? image };
    const archive = join(directory, 'thin.tar');
    await writeFile(archive, thinArchive(published.config, thin, name));
    const [loaded] = await store.images.load({ path: archive }, operation);
    if (loaded === undefined) throw noImage(name);
    return { revision, thin, image: loaded };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function noImage(subject: string): StoreError {
  return new StoreError('ERR_INTERNAL', 'the archive that was written has no image', { subject });
}
