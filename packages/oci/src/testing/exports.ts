import { digestOf } from '@layerstore/core';
import { compress } from '@layerstore/archive';
import { layerType, type LayerCompression } from '../media-type.js';
import type { ArchivePart } from '../plan-archive.js';
import type { ExportImage } from '../plan-layout.js';
import type { TestImage } from './images.js';

/** What a writer would be told of a layer; here it is the layer. */
export interface StoredLayer {
  readonly kind: 'layer';
  readonly size: number;
  readonly bytes: Buffer;
}

export type TestExport = ExportImage<StoredLayer>;

export function exported(
  image: TestImage,
  references: readonly string[],
  compression: LayerCompression = 'none',
): TestExport {
  const layers = image.layers.map((layer) => {
    const bytes = Buffer.concat([...compress([layer], compression)].map((chunk) => Buffer.from(chunk)));
    const content: StoredLayer = { kind: 'layer', size: bytes.length, bytes };
    const mediaType = layerType(compression);
    return { diffId: digestOf(layer), digest: digestOf(bytes), size: bytes.length, mediaType, content };
  });
  return { config: image.config, references, layers };
}

export function bytesOf(parts: readonly ArchivePart<StoredLayer>[]): Buffer {
  return Buffer.concat(parts.map((part) => (part.kind === 'bytes' ? part.data : part.bytes)));
}
