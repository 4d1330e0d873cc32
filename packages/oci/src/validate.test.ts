import { digestOf } from '@layerstore/core';
import { describe, expect, test } from 'vitest';
import type { ImageRecord, ImageSource } from './image-source.js';
import { encodeManifest } from './manifest.js';
import { mediaTypes } from './media-type.js';
import { failure } from './testing/failure.js';
import { testImage, testLayer } from './testing/images.js';
import { Temporary } from './testing/temporary.js';
import { validateSource } from './validate.js';

/** A source that, as one over a network would, has its layers in files only once they are fetched. */
class FetchingSource implements ImageSource {
  readonly kind = 'oci-layout';
  readonly subject = 'example.org/app:1';

  constructor(
    readonly directory: Temporary,
    readonly image: ImageRecord,
    readonly bytes: readonly Buffer[],
  ) {}

  images(): Promise<ImageRecord[]> {
    return Promise.resolve([this.image]);
  }

  fetch(layer: ImageRecord['layers'][number]): Promise<ImageRecord['layers'][number]['file']> {
    const at = this.image.layers.indexOf(layer);
    this.directory.write(`layer-${at}`, this.bytes[at] ?? Buffer.alloc(0));
    return Promise.resolve(layer.file);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}

const app = testImage('app', { layerCount: 2 });
const blobs = app.layers.map((layer) => ({
  mediaType: mediaTypes.ociLayer,
  digest: digestOf(layer),
  size: layer.length,
}));
const manifest = encodeManifest(
  { mediaType: mediaTypes.ociConfig, digest: digestOf(app.config), size: app.config.length },
  blobs,
);

function recordIn(directory: Temporary): ImageRecord {
  return {
    references: [],
    tags: [],
    config: { bytes: app.config, digest: digestOf(app.config) },
    manifest: { bytes: manifest, digest: digestOf(manifest), mediaType: mediaTypes.ociManifest },
    platform: { os: 'linux', architecture: 'amd64' },
    diffIds: app.layers.map((layer) => digestOf(layer)),
    layers: app.layers.map((layer, at) => ({
      diffId: digestOf(layer),
      file: { path: directory.join(`layer-${at}`), offset: 0, length: layer.length },
      digest: digestOf(layer),
      size: layer.length,
    })),
  };
}

describe('validation', () => {
  test('of a consistent source finds nothing, and fetches layers before it reads them', async () => {
    using directory = new Temporary();
    expect(await validateSource(new FetchingSource(directory, recordIn(directory), app.layers))).toEqual([]);
  });

  test('reports every claim that does not hold, not only the first', async () => {
    using directory = new Temporary();
    const record = recordIn(directory);
    const wrong = digestOf('wrong');
    const image: ImageRecord = {
      ...record,
      config: { bytes: app.config, digest: wrong },
      manifest: { bytes: manifest, digest: wrong, mediaType: mediaTypes.ociManifest },
      platform: { os: 'linux', architecture: 'arm64' },
      diffIds: [...record.diffIds].reverse(),
      layers: record.layers.map((layer) => ({ ...layer, size: layer.size! + 1 })),
    };
    const found = await validateSource(new FetchingSource(directory, image, [app.layers[0]!, testLayer('app-0')]));
    const subject = `image ${wrong}: `;
    expect(found.map(({ claim }) => claim.slice(subject.length))).toEqual([
      'config digest',
      'platform',
      'diff IDs',
      'layers by diff ID',
      'manifest digest',
      'config digest in the manifest',
      'layer 0: size in the manifest',
      'layer 1: size in the manifest',
      'layer 0: size',
      'layer 1: size',
      'layer 1: digest',
      'layer 1: diff ID',
    ]);
    expect(found[0]).toEqual({ claim: `${subject}config digest`, claimed: wrong, found: digestOf(app.config) });
  });

  test('stops when the signal is aborted', async () => {
    using directory = new Temporary();
    const source = new FetchingSource(directory, recordIn(directory), app.layers);
    expect(await failure(() => validateSource(source, { signal: AbortSignal.abort() }))).toMatchObject({
      code: 'ERR_ABORTED',
    });
  });
});
