import type { StoreContext } from '../context.js';
import type { HistoryEntry, ImageDetails, ImageSummary, LoadedImage, RemovedImage } from '../model.js';
import type { Source } from '../source.js';
import type { Target } from '../target.js';
import type { ImportOptions } from './import.js';
import type { LoadOptions } from './load.js';
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
}
