import { LayerFiles } from '@layerstore/archive';
import { StoreError, type LayerId } from '@layerstore/core';
import type { GraphDriver } from './driver.js';

/**
 * The files of one layer by the names that its archive gave them: what engines call the DiffGetter. With the layer's tar-split
 * record, `joinTarSplit(record, files.open)` gives the archive back, byte for byte. Nothing is mounted.
 * @throws StoreError ERR_LAYER_NOT_FOUND
 * @throws StoreError ERR_NOT_SUPPORTED where a layer's directory holds its parents' content too
 */
export async function layerFiles(driver: GraphDriver, id: LayerId): Promise<LayerFiles> {
  const source = await driver.diffSource(id, await driver.parent(id));
  if (source !== undefined) return new LayerFiles(source.upper);
  throw new StoreError('ERR_NOT_SUPPORTED', `${driver.name} tells no files of a layer from those of its parents`, {
    subject: id,
  });
}
