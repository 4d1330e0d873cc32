import { gzipSync } from 'node:zlib';
import { digestOf } from '@layerstore/core';
import { describe, expect, test } from 'vitest';
import type { ImageRecord, ImagesOptions } from './image-source.js';
import { DESCRIPTOR_LIMIT, INDEX_DEPTH_LIMIT } from './index-walk.js';
import { mediaTypes } from './media-type.js';
import { imageNames } from './oci-layout.js';
import { openImageSource } from './open-image-source.js';
import { hostPlatform, parsePlatform, type Platform } from './platform.js';
import { failure } from './testing/failure.js';
import { named, TestLayout, testImage, testLayer, type TestDescriptor } from './testing/images.js';
import { tarOf, writeTree, type TestMember } from './testing/tar.js';
import { Temporary } from './testing/temporary.js';
import { validateSource } from './validate.js';

const host = hostPlatform();
const foreign: Platform = { os: 'linux', architecture: host.architecture === 's390x' ? 'riscv64' : 's390x' };

async function read(members: readonly TestMember[], options: ImagesOptions = {}): Promise<ImageRecord[]> {
  using directory = new Temporary();
  await using source = await openImageSource(directory.write('a.tar', tarOf(members)));
  expect(source.kind).toBe('oci-archive');
  return await source.images(options);
}

/** An index with one image per platform. */
function platformIndex(layout: TestLayout, platforms: readonly Platform[]): TestDescriptor {
  return layout.addIndex(
    platforms.map((platform) => ({
      ...layout.addImage(testImage(`${platform.architecture}${platform.variant ?? ''}`, platform)),
      platform,
    })),
  );
}

describe('an OCI layout', () => {
  test.each(['tar', 'directory'])(
    'in a %s gives its images with manifest, digests and sizes, verified',
    async (form) => {
      using directory = new Temporary();
      const layout = new TestLayout();
      const image = testImage('app', { layerCount: 2, architecture: host.architecture });
      const members = layout.members([named(layout.addImage(image), 'example.org/app:1')]);
      const path = form === 'tar' ? directory.write('a.tar', tarOf(members)) : writeTree(directory.path, members);
      await using source = await openImageSource(path);
      expect(source.kind).toBe(form === 'tar' ? 'oci-archive' : 'oci-layout');
      const [record, ...rest] = await source.images();
      expect(rest).toEqual([]);
      expect(record).toMatchObject({
        references: ['example.org/app:1'],
        tags: [],
        config: { bytes: image.config, digest: digestOf(image.config) },
        manifest: { mediaType: mediaTypes.ociManifest },
        layers: image.layers.map((layer) => ({ digest: digestOf(layer), size: layer.length, diffId: digestOf(layer) })),
      });
      expect(await validateSource(source)).toEqual([]);
    },
  );

  test.each([
    [{ 'org.opencontainers.image.ref.name': 'v1' }, [], ['v1']],
    [{ 'org.opencontainers.image.ref.name': 'localhost/app:1' }, ['localhost/app:1'], []],
    [{ 'org.opencontainers.image.ref.name': 'app:1' }, ['docker.io/library/app:1'], []],
    [
      { 'io.containerd.image.name': 'docker.io/library/app:1', 'org.opencontainers.image.ref.name': '1' },
      ['docker.io/library/app:1'],
      [],
    ],
    [{ 'org.opencontainers.image.ref.name': 'Refs/Heads/X' }, [], ['Refs/Heads/X']],
    [{}, [], []],
  ])('annotated %j names the image', (annotations, references, tags) => {
    expect(imageNames({ annotations: { ...annotations } })).toEqual({ references, tags });
  });

  test('with several tags of one manifest gives the image once', async () => {
    const layout = new TestLayout();
    const descriptor = layout.addImage(testImage('app'));
    const images = await read(layout.members([named(descriptor, 'a'), named(descriptor, 'b')]));
    expect(images.map((image) => image.tags)).toEqual([['a', 'b']]);
  });

  test('gives only the image of the wanted tag or reference, and reads no other', async () => {
    const layout = new TestLayout();
    const good = layout.addImage(testImage('good'));
    const broken = layout.addImage(testImage('broken'));
    layout.damage(broken.digest, undefined);
    const members = layout.members([named(good, 'Good_1'), named(broken, 'b'), named(good, 'r.io/x:1')]);
    expect(await read(members, { reference: 'Good_1' })).toMatchObject([{ tags: ['Good_1'], references: [] }]);
    expect(await read(members, { reference: 'r.io/x:1' })).toMatchObject([{ tags: [], references: ['r.io/x:1'] }]);
    expect(await failure(() => read(members))).toMatchObject({
      code: 'ERR_MALFORMED_IMAGE',
      message: expect.stringContaining('the blob is missing') as string,
    });
  });

  test('with an index gives the image for this machine', async () => {
    const layout = new TestLayout();
    const index = platformIndex(layout, [foreign, host]);
    const images = await read(layout.members([named(index, 'app:1')]));
    expect(images).toMatchObject([{ platform: host, references: ['docker.io/library/app:1'] }]);
  });

  test('with an index gives the image for the platform that is asked for, falling back to lower variants', async () => {
    const layout = new TestLayout();
    const platforms = ['linux/arm/v5', 'linux/arm/v6', 'linux/amd64', 'linux/arm64'].map((text) => parsePlatform(text));
    const members = layout.members([platformIndex(layout, platforms)]);
    for (const [wanted, given] of [
      ['linux/arm/v7', 'linux/arm/v6'],
      ['linux/arm64', 'linux/arm64'],
      ['linux/amd64/v3', 'linux/amd64'],
    ] as const) {
      const [image] = await read(members, { platform: parsePlatform(wanted) });
      expect(image?.platform).toEqual(parsePlatform(given));
    }
    expect(await failure(() => read(members, { platform: parsePlatform('linux/s390x') }))).toMatchObject({
      code: 'ERR_NO_PLATFORM',
      message: expect.stringContaining('there is linux/arm/v5, linux/arm/v6, linux/amd64, linux/arm64') as string,
    });
  });

  test('with an index for other machines only is refused, even if it lists one image', async () => {
    const layout = new TestLayout();
    const members = layout.members([platformIndex(layout, [foreign])]);
    expect(await failure(() => read(members))).toMatchObject({ code: 'ERR_NO_PLATFORM' });
  });

  test('that lists platforms in index.json itself is read as one image', async () => {
    const layout = new TestLayout();
    const entries = [foreign, host].map((platform) => ({
      ...layout.addImage(testImage(platform.architecture, platform)),
      platform,
    }));
    expect(await read(layout.members(entries))).toMatchObject([{ platform: host }]);
    expect(await read(layout.members(entries.map((entry) => named(entry, 'v1'))))).toMatchObject([{ platform: host }]);
  });

  test('without platforms in the index takes them from the configs', async () => {
    const layout = new TestLayout();
    const index = layout.addIndex([
      layout.addImage(testImage('foreign', foreign)),
      layout.addImage(testImage('host', host)),
    ]);
    expect(await read(layout.members([index]))).toMatchObject([{ platform: host }]);
  });

  test('with an index of which only one platform was saved gives that one', async () => {
    const layout = new TestLayout();
    const wanted = { ...layout.addImage(testImage('here', host)), platform: host };
    const gone = { ...layout.addImage(testImage('gone', foreign)), platform: foreign };
    const index = layout.addIndex([gone, wanted]);
    layout.damage(gone.digest, undefined);
    expect(await read(layout.members([index]))).toMatchObject([{ platform: host }]);
    layout.damage(wanted.digest, undefined);
    expect(await failure(() => read(layout.members([index])))).toMatchObject({
      code: 'ERR_MALFORMED_IMAGE',
      message: expect.stringContaining('none of the manifests that it lists is stored') as string,
    });
  });

  test('leaves out attestations of buildkit and artifacts that are not images', async () => {
    const layout = new TestLayout();
    const image = { ...layout.addImage(testImage('app', host)), platform: host };
    const attestation = {
      ...layout.addImage(testImage('attestation')),
      platform: { os: 'unknown', architecture: 'unknown' },
    };
    const marked = {
      ...layout.addImage(testImage('marked')),
      annotations: { 'vnd.docker.reference.type': 'attestation-manifest' },
    };
    const chart = layout.addJson(mediaTypes.ociManifest, {
      schemaVersion: 2,
      config: layout.addJson('application/vnd.cncf.helm.config.v1+json', {}),
      layers: [],
    });
    const odd = layout.addJson('application/vnd.example.odd+json', {});
    const index = layout.addIndex([image, attestation, marked, odd]);
    expect(await read(layout.members([index, attestation, marked, chart, odd]))).toMatchObject([{ platform: host }]);
    expect(await failure(() => read(layout.members([chart, odd, attestation])))).toMatchObject({
      code: 'ERR_UNSUPPORTED_FORMAT',
    });
  });

  test('reads indexes inside indexes', async () => {
    const layout = new TestLayout();
    const inner = platformIndex(layout, [foreign, host]);
    expect(await read(layout.members([layout.addIndex([layout.addIndex([inner])])]))).toMatchObject([
      { platform: host },
    ]);
  });

  test('takes gzip layers by their digest and finds the tar inside', async () => {
    using directory = new Temporary();
    const layout = new TestLayout();
    const image = testImage('app');
    const blob = gzipSync(image.layers[0]!);
    const manifest = layout.addJson(mediaTypes.ociManifest, {
      schemaVersion: 2,
      config: layout.add(mediaTypes.ociConfig, image.config),
      layers: [layout.add(mediaTypes.ociLayerGzip, blob)],
    });
    await using source = await openImageSource(directory.write('a.tar', tarOf(layout.members([manifest]))));
    expect(await source.images()).toMatchObject([
      { layers: [{ digest: digestOf(blob), size: blob.length, mediaType: mediaTypes.ociLayerGzip }] },
    ]);
    expect(await validateSource(source)).toEqual([]);
  });

  test('that umoci has just made, with null for no manifests, holds no image', async () => {
    const layout = new TestLayout().members([]);
    const members = layout.map(([name, content]): TestMember =>
      name === 'index.json' ? [name, '{"schemaVersion":2,"manifests":null}'] : [name, content],
    );
    expect(await failure(() => read(members))).toMatchObject({ code: 'ERR_UNSUPPORTED_FORMAT' });
  });
});

describe('a damaged or hostile OCI layout', () => {
  const layoutWith = (change: (layout: TestLayout, image: TestDescriptor) => void): TestMember[] => {
    const layout = new TestLayout();
    const image = layout.addImage(testImage('app'));
    change(layout, image);
    return layout.members([image]);
  };
  const image = testImage('app');

  test.each([
    [
      'a manifest with other bytes',
      'ERR_DIGEST_MISMATCH',
      (layout: TestLayout, { digest, size }: TestDescriptor) => layout.damage(digest, Buffer.alloc(size, ' ')),
    ],
    [
      'a manifest with another size',
      'ERR_SIZE_MISMATCH',
      (layout: TestLayout, { digest }: TestDescriptor) => layout.damage(digest, Buffer.from('{}')),
    ],
    [
      'a config with other bytes',
      'ERR_DIGEST_MISMATCH',
      (layout: TestLayout) => layout.damage(digestOf(image.config), Buffer.alloc(image.config.length, ' ')),
    ],
    [
      'a config with another size',
      'ERR_SIZE_MISMATCH',
      (layout: TestLayout) => layout.damage(digestOf(image.config), Buffer.from('{}')),
    ],
    ['no config', 'ERR_MALFORMED_IMAGE', (layout: TestLayout) => layout.damage(digestOf(image.config), undefined)],
    [
      'a layer with another size',
      'ERR_SIZE_MISMATCH',
      (layout: TestLayout) => layout.damage(digestOf(image.layers[0]!), Buffer.from('x')),
    ],
    ['no layer', 'ERR_MALFORMED_IMAGE', (layout: TestLayout) => layout.damage(digestOf(image.layers[0]!), undefined)],
  ] as const)('with %s is refused', async (_, code, change) => {
    expect(await failure(() => read(layoutWith(change)))).toMatchObject({ code });
  });

  test('whose layer has other bytes of the same size is found out by validation', async () => {
    using directory = new Temporary();
    const forged = testLayer('bpp-0');
    const members = layoutWith((layout) => layout.damage(digestOf(image.layers[0]!), forged));
    await using source = await openImageSource(directory.write('a.tar', tarOf(members)));
    expect(
      (await validateSource(source)).map(({ claim, found }) => [claim.split(': ').slice(1).join(': '), found]),
    ).toEqual([
      ['layer 0: digest', digestOf(forged)],
      ['layer 0: diff ID', digestOf(forged)],
    ]);
  });

  test.each([
    [
      'without oci-layout',
      (name: string, content: TestMember[1]) => (name === 'oci-layout' ? undefined : content),
      'ERR_MALFORMED_IMAGE',
    ],
    [
      'of layout version 2',
      (name: string, content: TestMember[1]) => (name === 'oci-layout' ? '{"imageLayoutVersion":"2.0.0"}' : content),
      'ERR_UNSUPPORTED_FORMAT',
    ],
    [
      'with an oci-layout of another shape',
      (name: string, content: TestMember[1]) => (name === 'oci-layout' ? '"1.0.0"' : content),
      'ERR_MALFORMED_IMAGE',
    ],
    [
      'whose index.json is a manifest',
      (name: string, content: TestMember[1]) =>
        name === 'index.json' ? '{"schemaVersion":2,"config":{},"layers":[]}' : content,
      'ERR_MALFORMED_IMAGE',
    ],
  ] as const)('%s is refused', async (_, change, code) => {
    const members = layoutWith(() => undefined).flatMap(([name, content]): TestMember[] => {
      const changed = change(name, content);
      return changed === undefined ? [] : [[name, changed]];
    });
    expect(await failure(() => read(members))).toMatchObject({ code });
  });

  test('with a digest that climbs out of blobs/ is refused before any path is made of it', async () => {
    const layout = new TestLayout();
    const descriptor = { ...layout.addImage(image), digest: 'sha256:../../../../../etc/passwd' };
    expect(await failure(() => read(layout.members([descriptor])))).toMatchObject({
      code: 'ERR_MALFORMED_IMAGE',
      message: expect.stringContaining('manifests.0.digest') as string,
    });
  });

  test('with an index nested too deeply is refused', async () => {
    const layout = new TestLayout();
    let descriptor = layout.addImage(testImage('app', host));
    for (let depth = 0; depth < INDEX_DEPTH_LIMIT; depth++) descriptor = layout.addIndex([descriptor]);
    expect(await read(layout.members([descriptor]))).toHaveLength(1);
    expect(await failure(() => read(layout.members([layout.addIndex([descriptor])])))).toMatchObject({
      code: 'ERR_LIMIT_EXCEEDED',
      message: expect.stringContaining('nested deeper') as string,
    });
  });

  test('with indexes that multiply is read once or refused, never walked again and again', async () => {
    const layout = new TestLayout();
    let descriptor = layout.addImage(testImage('app', host));
    for (let depth = 0; depth < INDEX_DEPTH_LIMIT; depth++) {
      descriptor = layout.addIndex(Array.from({ length: 1000 }, () => descriptor));
    }
    expect(await read(layout.members([descriptor]))).toHaveLength(1);
    const image = layout.addImage(testImage('app', host));
    const wide = layout.addIndex(Array.from({ length: DESCRIPTOR_LIMIT }, () => image));
    expect(await failure(() => read(layout.members([wide])))).toMatchObject({
      code: 'ERR_LIMIT_EXCEEDED',
      message: expect.stringContaining(`more than ${DESCRIPTOR_LIMIT} entries`) as string,
    });
  });

  test('with layers that are encrypted or no tars is unsupported, not malformed', async () => {
    for (const mediaType of ['application/vnd.oci.image.layer.v1.tar+gzip+encrypted', 'application/wasm']) {
      const layout = new TestLayout();
      const manifest = layout.addJson(mediaTypes.ociManifest, {
        schemaVersion: 2,
        config: layout.add(mediaTypes.ociConfig, image.config),
        layers: [layout.add(mediaType, image.layers[0]!)],
      });
      expect(await failure(() => read(layout.members([manifest])))).toMatchObject({ code: 'ERR_UNSUPPORTED_FORMAT' });
    }
  });

  test('with fewer layers than diff IDs is refused', async () => {
    const layout = new TestLayout();
    const manifest = layout.addImage({ ...testImage('two', { layerCount: 2 }), layers: image.layers });
    expect(await failure(() => read(layout.members([manifest])))).toMatchObject({
      code: 'ERR_MALFORMED_IMAGE',
      message: expect.stringContaining('layers: 1 listed, rootfs.diff_ids of the config has 2') as string,
    });
  });
});
