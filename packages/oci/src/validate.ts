import { digestOf } from '@layerstore/core';
import { configPlatform, parseImageConfig } from './config.js';
import type { ImageRecord, ImageSource, ImagesOptions, LayerBlob } from './image-source.js';
import { parseManifest } from './manifest.js';
import { measureLayer } from './measure-layer.js';
import { formatPlatform } from './platform.js';

/** A claim of an image that its bytes do not bear out. */
export interface Mismatch {
  /** What was checked: `image sha256:...: layer 2: diff ID`. */
  readonly claim: string;
  readonly claimed: string;
  readonly found: string;
}

/**
 * Checks every digest, size and diff ID that a source claims against the bytes, and reports all that disagree.
 * Cost: one pass over all layers.
 * @returns an empty list for a consistent source
 * @throws StoreError what `images` and reading a layer throw
 */
export async function validateSource(source: ImageSource, options: ImagesOptions = {}): Promise<Mismatch[]> {
  const mismatches: Mismatch[] = [];
  for (const image of await source.images(options)) {
    const compare = comparison(mismatches, `image ${image.config.digest}`);
    compareDocuments(image, compare);
    for (const [at, layer] of image.layers.entries()) await compareLayer(layer, at, compare, source, options);
  }
  return mismatches;
}

type Compare = (claim: string, claimed: string | number | undefined, found: string | number) => void;

/** A claim that the format does not make is not compared. */
function comparison(mismatches: Mismatch[], subject: string): Compare {
  return (claim, claimed, found) => {
    if (claimed === undefined || claimed === found) return;
    mismatches.push({ claim: `${subject}: ${claim}`, claimed: String(claimed), found: String(found) });
  };
}

function compareDocuments(image: ImageRecord, compare: Compare): void {
  const config = parseImageConfig(image.config.bytes);
  compare('config digest', image.config.digest, digestOf(image.config.bytes));
  compare('platform', formatPlatform(image.platform), formatPlatform(configPlatform(config)));
  compare('diff IDs', image.diffIds.join(' '), config.rootfs.diff_ids.join(' '));
  compare('layers by diff ID', image.diffIds.join(' '), image.layers.map((layer) => layer.diffId).join(' '));
  if (image.manifest === undefined) return;
  const { bytes, digest, mediaType } = image.manifest;
  const manifest = parseManifest(bytes, 'manifest', mediaType);
  compare('manifest digest', digest, digestOf(bytes));
  if (manifest.kind === 'index') {
    compare('manifest', 'a manifest', 'an index');
    return;
  }
  compare('config digest in the manifest', manifest.config.digest, image.config.digest);
  compare('config size in the manifest', manifest.config.size, image.config.bytes.length);
  for (const [at, layer] of manifest.layers.entries()) {
    compare(`layer ${at}: digest in the manifest`, image.layers[at]?.digest, layer.digest);
    compare(`layer ${at}: size in the manifest`, image.layers[at]?.size, layer.size);
  }
}

async function compareLayer(
  layer: LayerBlob,
  at: number,
  compare: Compare,
  source: ImageSource,
  { signal }: ImagesOptions,
): Promise<void> {
  const file = await source.fetch(layer, signal === undefined ? {} : { signal });
  const measure = await measureLayer(file, signal);
  compare(`layer ${at}: size`, layer.size, file.length);
  compare(`layer ${at}: digest`, layer.digest, measure.digest);
  compare(`layer ${at}: diff ID`, layer.diffId, measure.diffId);
}
