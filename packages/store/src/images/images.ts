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

  /** Loads the images of a docker-archive or OCI layout. {@link loadImages} has the details. */
  async load(source: Source, options: LoadOptions = {}): Promise<LoadedImage[]> {
    const { loadImages } = await import('./load.js');
    return loadImages(this.context, source, options);
  }

  /** Makes an image of one layer from a root file system's tar. {@link importImage} has the details. */
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

  /** Removes a name, and with the last one the image. {@link removeImage} has the details. */
  async remove(nameOrId: string, options: { force?: boolean } = {}): Promise<RemovedImage> {
    const { removeImage } = await import('./remove.js');
    return removeImage(this.context, nameOrId, options);
  }

  /** Writes images as an archive or layout, every layer bit for bit. {@link saveImages} has the details. */
  async save(names: readonly string[], target: Target, options: SaveOptions): Promise<{ size: number }> {
    const { saveImages } = await import('./save.js');
    return saveImages(this.context, names, target, options);
  }
}
