import { digestOf } from '@layerstore/core';
import { describe, expect, test } from 'vitest';
import { DOCUMENT_LIMIT } from './document.js';
import { encodeIndex, encodeManifest, LAYER_LIMIT, parseManifest } from './manifest.js';
import { mediaTypes } from './media-type.js';
import { failure } from './testing/failure.js';

const digest = digestOf('x');
const layer = { mediaType: mediaTypes.ociLayerGzip, digest, size: 10 };
const config = { mediaType: mediaTypes.ociConfig, digest, size: 2 };
const manifest = { schemaVersion: 2, config, layers: [layer] };

const parse = (document: unknown, stated?: string): ReturnType<typeof parseManifest> =>
  parseManifest(Buffer.from(JSON.stringify(document)), 'manifest M', stated);

describe('a manifest', () => {
  test('is read with its config and layers', () => {
    expect(parse({ ...manifest, mediaType: mediaTypes.dockerManifest, annotations: { a: 'b' } })).toEqual({
      kind: 'manifest',
      mediaType: mediaTypes.dockerManifest,
      config: { ...config, annotations: {} },
      layers: [{ ...layer, annotations: {} }],
      annotations: { a: 'b' },
    });
  });

  test('without a media type has the one by which it was referred to', () => {
    expect(parse(manifest).mediaType).toBe(mediaTypes.ociManifest);
    expect(parse(manifest, mediaTypes.dockerManifest).mediaType).toBe(mediaTypes.dockerManifest);
  });

  test('that is an index is read with platforms in normal form', () => {
    const platform = { os: 'linux', architecture: 'arm64', variant: 'v8', 'os.version': '', features: ['x'] };
    const index = parse({ schemaVersion: 2, manifests: [{ ...config, platform }] });
    expect(index).toMatchObject({ kind: 'index', manifests: [{ platform: { os: 'linux', architecture: 'arm64' } }] });
  });

  test('with null for a list, as Go writes an empty one, has an empty list', () => {
    expect(parse({ schemaVersion: 2, manifests: null })).toMatchObject({ kind: 'index', manifests: [] });
    expect(parse({ schemaVersion: 2, config, layers: null, annotations: null })).toMatchObject({ layers: [] });
  });

  test('is written the same way every time, and read back', () => {
    const bytes = encodeManifest(config, [layer]);
    expect(bytes.toString()).toBe(
      `{"schemaVersion":2,"mediaType":"${mediaTypes.ociManifest}",` +
        `"config":{"mediaType":"${mediaTypes.ociConfig}","digest":"${digest}","size":2},` +
        `"layers":[{"mediaType":"${mediaTypes.ociLayerGzip}","digest":"${digest}","size":10}]}`,
    );
    expect(parseManifest(bytes, 'M')).toMatchObject({ kind: 'manifest', layers: [layer] });
    const platform = { os: 'linux', architecture: 'arm', variant: 'v6' };
    const index = encodeIndex([{ ...config, annotations: { a: 'b' }, platform }]);
    expect(parseManifest(index, 'I')).toMatchObject({ manifests: [{ annotations: { a: 'b' }, platform }] });
  });

  test.each([
    ['is no JSON', Buffer.from('{'), 'manifest M: not a JSON document in UTF-8'],
    ['is not UTF-8', Buffer.from([0x22, 0xff, 0x22]), 'manifest M: not a JSON document in UTF-8'],
    ['nests a million arrays', Buffer.alloc(1_000_000, '['), 'manifest M: not a JSON document in UTF-8'],
    ['is a list', Buffer.from('[]'), 'manifest M: schemaVersion'],
    ['is null', Buffer.from('null'), 'manifest M: Invalid type: Expected Object but received null'],
  ])('that %s is refused', async (_, bytes, message) => {
    expect(await failure(() => parseManifest(bytes, 'manifest M'))).toMatchObject({
      code: 'ERR_MALFORMED_IMAGE',
      message: expect.stringContaining(message) as string,
    });
  });

  test.each([
    ['schemaVersion', { ...manifest, schemaVersion: 3 }],
    ['schemaVersion', { ...manifest, schemaVersion: undefined }],
    ['config', { ...manifest, config: undefined }],
    ['config', { ...manifest, config: [] }],
    ['layers', { ...manifest, layers: undefined }],
    ['layers', { ...manifest, layers: {} }],
    ['layers.0.digest', { ...manifest, layers: [{ ...layer, digest: 5 }] }],
    ['layers.0.digest', { ...manifest, layers: [{ ...layer, digest: 'sha256:../../../../etc/passwd' }] }],
    ['layers.0.digest', { ...manifest, layers: [{ ...layer, digest: digest.toUpperCase() }] }],
    ['layers.0.digest', { ...manifest, layers: [{ ...layer, digest: `${digest}\n` }] }],
    ['config.digest', { ...manifest, config: { ...config, digest: 'sha256:' } }],
    ['layers.1.size', { ...manifest, layers: [layer, { ...layer, size: -1 }] }],
    ['layers.0.size', { ...manifest, layers: [{ ...layer, size: 1.5 }] }],
    ['layers.0.size', { ...manifest, layers: [{ ...layer, size: 2 ** 60 }] }],
    ['layers.0.size', { ...manifest, layers: [{ ...layer, size: '10' }] }],
    ['layers.0.mediaType', { ...manifest, layers: [{ digest, size: 1 }] }],
    ['manifests', { schemaVersion: 2 }],
    ['manifests.0.platform.os', { schemaVersion: 2, manifests: [{ ...config, platform: { architecture: 'x' } }] }],
    ['annotations.a', { ...manifest, annotations: { a: 1 } }],
    ['mediaType', { ...manifest, mediaType: mediaTypes.ociIndex }],
    ['Layers', { ...manifest, Layers: [] }],
  ])('with a wrong %s is refused by the name of the field', async (field, document) => {
    const error = await failure(() => parse(document));
    expect(error.code).toBe('ERR_MALFORMED_IMAGE');
    expect(error.message).toContain(`manifest M: ${field}`);
  });

  test('that is an index at the same time is refused: two programs would see two images (CVE-2021-41190)', async () => {
    const both = { ...manifest, manifests: [config] };
    for (const stated of [undefined, mediaTypes.ociManifest, mediaTypes.ociIndex]) {
      expect(await failure(() => parse(both, stated))).toMatchObject({ code: 'ERR_MALFORMED_IMAGE' });
    }
  });

  test('under the media type of an index is refused', async () => {
    expect(await failure(() => parse(manifest, mediaTypes.dockerManifestList))).toMatchObject({
      code: 'ERR_MALFORMED_IMAGE',
      message: expect.stringContaining('does not fit the fields of the document') as string,
    });
  });

  test.each([
    [{ schemaVersion: 1, name: 'a', fsLayers: [], history: [] }, undefined],
    [{ schemaVersion: 1 }, 'application/vnd.docker.distribution.manifest.v1+prettyjws'],
    [{ schemaVersion: 1, mediaType: 'application/vnd.docker.distribution.manifest.v1+json' }, undefined],
  ])('of Docker schema 1 is named as such, with the way out (%#)', async (document, stated) => {
    expect(await failure(() => parse(document, stated))).toMatchObject({
      code: 'ERR_UNSUPPORTED_FORMAT',
      hint: expect.stringContaining('skopeo copy --format v2s2') as string,
    });
  });

  test('of an unknown kind is unsupported, not malformed', async () => {
    const mediaType = 'application/vnd.oci.artifact.manifest.v1+json';
    expect(await failure(() => parse({ mediaType, blobs: [] }))).toMatchObject({ code: 'ERR_UNSUPPORTED_FORMAT' });
  });

  test('that names a blob by sha512 is unsupported, not malformed', async () => {
    const odd = { ...manifest, config: { ...config, digest: `sha512:${'ab'.repeat(64)}` } };
    expect(await failure(() => parse(odd))).toMatchObject({ code: 'ERR_UNSUPPORTED_FORMAT' });
  });

  test(`may have ${LAYER_LIMIT} layers and no more`, async () => {
    const layers = Array.from({ length: LAYER_LIMIT }, () => layer);
    expect(parse({ ...manifest, layers })).toMatchObject({ kind: 'manifest' });
    expect(await failure(() => parse({ ...manifest, layers: [...layers, layer] }))).toMatchObject({
      code: 'ERR_LIMIT_EXCEEDED',
    });
  });

  test('may have 4 MiB and no more', async () => {
    const padded = (length: number): Buffer => Buffer.from(JSON.stringify(manifest).padEnd(length, ' '));
    expect(parseManifest(padded(DOCUMENT_LIMIT), 'M')).toMatchObject({ kind: 'manifest' });
    expect(await failure(() => parseManifest(padded(DOCUMENT_LIMIT + 1), 'M'))).toMatchObject({
      code: 'ERR_LIMIT_EXCEEDED',
    });
  });
});
