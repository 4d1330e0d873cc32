import type { RunOptions } from '../containers/run.js';
import type { StoreContext } from '../context.js';
import type { RecordedStart } from '../thin/record-start.js';
import type {
  HistoryEntry,
  ImageDetails,
  ImageSummary,
  LoadedImage,
  PulledImage,
  PushedImage,
  RemovedImage,
} from '../model.js';
import type { Source } from '../source.js';
import type { Target } from '../target.js';
import type { ImportOptions } from './import.js';
import type { LoadOptions } from './load.js';
import type { PullOptions } from './pull.js';
import type { PushOptions } from './push.js';
import type { SaveOptions } from './save.js';
import { listImages } from './list.js';

/** The images of a store. Names are given as docker and podman take them: reference, id, or a unique prefix of an id. */
export class Images {
  /** @internal */
  constructor(private readonly context: StoreContext) {}

  /**
   * Loads the images of a docker-archive or OCI layout (a directory, a tar, or a compressed tar). Each image is published in one step when
   * all its layers are there; layers that the store has are not unpacked again. Durable on return.
   * Cost: one pass over each missing layer in a worker thread, layers in parallel.
   * @throws StoreError ERR_NOT_FOUND, ERR_UNSUPPORTED_FORMAT, ERR_MALFORMED_IMAGE, ERR_NO_PLATFORM: the archive cannot be used
   * @throws StoreError ERR_DIGEST_MISMATCH, ERR_SIZE_MISMATCH, ERR_TRUNCATED, ERR_MALFORMED_ARCHIVE, ERR_ARCHIVE_ESCAPE,
   *   ERR_LIMIT_EXCEEDED: a layer is damaged or hostile
   * @throws StoreError ERR_MAX_DEPTH, ERR_NO_SPACE, ERR_NEEDS_ROOT, ERR_ABORTED
   */
  async load(source: Source, options: LoadOptions = {}): Promise<LoadedImage[]> {
    const { loadImages } = await import('./load.js');
    return loadImages(this.context, source, options);
  }

  /**
   * Pulls an image from a registry. Layers come in parallel and are unpacked while they come; those that the store has are not fetched. The
   * image is published in one step. Durable on return. What a broken or killed pull has fetched is kept for the next one, until `prune`;
   * a cancelled one leaves nothing.
   * Cost: one request for the manifest (two for an index), one for the config, one for each missing layer; one pass over each.
   * @param reference as docker and podman take it: `debian`, `quay.io/org/app:1`, `debian@sha256:...`
   * @throws StoreError ERR_INVALID_REFERENCE, ERR_IMAGE_NOT_FOUND, ERR_NO_PLATFORM, ERR_UNSUPPORTED_FORMAT for what is no container image
   * @throws StoreError ERR_REGISTRY_UNREACHABLE, ERR_REGISTRY_DENIED, ERR_REGISTRY_FAILED, ERR_UNSAFE_TRANSFER
   * @throws StoreError and what unpacking throws, see {@link Images.load}
   */
  async pull(reference: string, options: PullOptions = {}): Promise<PulledImage> {
    const { pullImage } = await import('./pull.js');
    return pullImage(this.context, reference, options);
  }

  /**
   * Pushes an image to a registry. Blobs that the repository has are not sent; those that another repository of the registry has are mounted.
   * An image that came with a manifest keeps it, byte for byte, where its layers are there or were kept (`keepBlobs`); else its layers are
   * compressed anew and it gets a new one.
   * @param destination default: the name by which the image was given
   * @throws StoreError ERR_IMAGE_NOT_FOUND, ERR_INVALID_REFERENCE, ERR_STORE_DAMAGED when a layer was altered
   * @throws StoreError ERR_REGISTRY_UNREACHABLE, ERR_REGISTRY_DENIED, ERR_REGISTRY_FAILED, ERR_UNSAFE_TRANSFER, ERR_ABORTED
   */
  async push(nameOrId: string, destination?: string, options: PushOptions = {}): Promise<PushedImage> {
    const { pushImage } = await import('./push.js');
    return pushImage(this.context, nameOrId, destination, options);
  }

  /**
   * Makes an image of one layer from a root file system's tar (plain, gzip or zstd). Durable on return.
   * Cost: one pass over the tar in a worker thread.
   * @throws StoreError ERR_INVALID_REFERENCE; ERR_INVALID_ARGUMENT for a change; and what unpacking throws, see {@link Images.load}
   */
  async import(source: Source, reference: string, options: ImportOptions = {}): Promise<LoadedImage> {
    const { importImage } = await import('./import.js');
    return importImage(this.context, source, reference, options);
  }

  /** Every image, newest first. Cost: two queries, no file is read. */
  list(): Promise<ImageSummary[]> {
    return Promise.resolve(listImages(this.context));
  }

  /** @throws StoreError ERR_IMAGE_NOT_FOUND, ERR_AMBIGUOUS_ID, ERR_STORE_DAMAGED */
  async inspect(nameOrId: string): Promise<ImageDetails> {
    const { inspectImage } = await import('./inspect.js');
    return inspectImage(this.context, nameOrId);
  }

  /** How the image came to be, newest first. @throws StoreError ERR_IMAGE_NOT_FOUND, ERR_STORE_DAMAGED */
  async history(nameOrId: string): Promise<HistoryEntry[]> {
    const { imageHistory } = await import('./inspect.js');
    return imageHistory(this.context, nameOrId);
  }

  /** Gives an image a further name. @throws StoreError ERR_IMAGE_NOT_FOUND, ERR_INVALID_REFERENCE */
  async tag(nameOrId: string, reference: string, options: { signal?: AbortSignal } = {}): Promise<void> {
    const { tagImage } = await import('./tag.js');
    return tagImage(this.context, nameOrId, reference, options.signal);
  }

  /**
   * Removes a name; with the last name goes the image, and with it the layers that nothing else needs. An id removes an image that has
   * one name or none; `force` removes all its names.
   * @throws StoreError ERR_IMAGE_NOT_FOUND, ERR_BUSY while containers use it
   */
  async remove(nameOrId: string, options: { force?: boolean } = {}): Promise<RemovedImage> {
    const { removeImage } = await import('./remove.js');
    return removeImage(this.context, nameOrId, options);
  }

  /**
   * Writes images as an archive or layout, every layer bit for bit as it was loaded and checked against its diff ID on the way. A file or
   * directory appears complete or not at all.
   * Cost: one read of every layer's content; compression in worker threads, layers in parallel.
   * @throws StoreError ERR_IMAGE_NOT_FOUND, ERR_STORE_DAMAGED when a layer was altered, ERR_EXISTS for a taken directory, ERR_NO_SPACE
   */
  async save(names: readonly string[], target: Target, options: SaveOptions): Promise<{ size: number }> {
    const { saveImages } = await import('./save.js');
    return saveImages(this.context, names, target, options);
  }

  /**
   * Runs a program on a thin image and keeps the list of what it read from repositories: later starts have that fetched ahead.
   * @throws StoreError ERR_IMAGE_NOT_FOUND, ERR_NOT_SUPPORTED for an image that is not thin, ERR_NEEDS_ROOT
   */
  async recordStart(image: string, command: readonly string[], options: RunOptions = {}): Promise<RecordedStart> {
    const { recordStart } = await import('../thin/record-start.js');
    return recordStart(this.context, image, command, options);
  }
}
