import { ArchiveWorkers } from '@layerstore/archive';
import { StoreError, type Digest } from '@layerstore/core';
import { publishLayers, type NewTag, type PublishedRevision, type PublisherKeys } from '@layerstore/cvmfs';
import { openImageSource, parsePlatform, type ImageSource } from '@layerstore/oci';
import { thinDocument, type ThinDocument } from './thin-document.js';

export interface PublishArchiveOptions {
  /** Root of the repository on disk. */
  readonly directory: string;
  readonly keys: PublisherKeys;
  readonly tag?: NewTag;
  /** Which image of an index to take, for example `linux/arm64`; default: what this machine runs. */
  readonly platform?: string;
  /** Only the image with this name. */
  readonly reference?: string;
  /** Directory for the plain form of an archive that is compressed as a whole. */
  readonly scratch: string;
  readonly signal?: AbortSignal;
}

export interface PublishedArchive {
  readonly revision: PublishedRevision;
  /** One per image, in the order of the archive. */
  readonly images: readonly { readonly config: Buffer; readonly thin: ThinDocument }[];
}

/**
 * Publishes all layers of the images of a docker-archive or OCI layout as one revision. A layer is known by the digest of its blob where the
 * archive states one, otherwise by its diff ID.
 * @param path a file or a directory
 * @throws StoreError as `publishLayers`; ERR_NOT_FOUND, ERR_UNSUPPORTED_FORMAT, ERR_MALFORMED_IMAGE, ERR_NO_PLATFORM, ERR_IMAGE_NOT_FOUND
 */
export async function publishArchive(path: string, options: PublishArchiveOptions): Promise<PublishedArchive> {
  const { directory, keys, tag, signal } = options;
  const cancellation = signal === undefined ? {} : { signal };
  await using source = await openImageSource(path, { scratch: options.scratch, ...cancellation });
  const found = await source.images({
    ...cancellation,
    ...(options.platform === undefined ? {} : { platform: parsePlatform(options.platform) }),
    ...(options.reference === undefined ? {} : { reference: options.reference }),
  });
  if (found.some(({ layers }) => layers.length === 0)) {
    throw new StoreError('ERR_NOT_SUPPORTED', 'an image without layers cannot be made thin', { subject: path });
  }
  await using workers = new ArchiveWorkers();
  const layers = await layersOf(source, found, signal);
  const revision = await publishLayers({
    directory,
    keys,
    layers: [...layers].map(([digest, blob]) => ({ digest, source: { kind: 'tar', blob } })),
    workers,
    ...cancellation,
    ...(tag === undefined ? {} : { tag }),
  });
  const images = found.map((image) => ({
    config: image.config.bytes,
    thin: thinDocument(
      keys.repository,
      image.layers.map((layer) => layer.digest ?? layer.diffId),
      image.references[0],
    ),
  }));
  return { revision, images };
}

type Images = Awaited<ReturnType<ImageSource['images']>>;
type Ranges = Map<Digest, Awaited<ReturnType<ImageSource['fetch']>>>;

async function layersOf(source: ImageSource, images: Images, signal: AbortSignal | undefined): Promise<Ranges> {
  const layers: Ranges = new Map();
  for (const layer of images.flatMap((image) => image.layers)) {
    const digest = layer.digest ?? layer.diffId;
    if (!layers.has(digest)) layers.set(digest, await source.fetch(layer, signal === undefined ? {} : { signal }));
  }
  return layers;
}
