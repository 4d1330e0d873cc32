import { digestHex, digestOf } from '@layerstore/core';
import { describe, expect, test } from 'vitest';
import type { ImageRecord } from './image-source.js';
import { openImageSource } from './open-image-source.js';
import { parsePlatform } from './platform.js';
import { failure } from './testing/failure.js';
import { dockerMembers, testImage, testLayer } from './testing/images.js';
import { tarOf, writeTree, type TestMember } from './testing/tar.js';
import { Temporary } from './testing/temporary.js';
import { validateSource } from './validate.js';

const app = testImage('app', { layerCount: 2 });
const other = testImage('other');

async function read(members: readonly TestMember[], options = {}): Promise<ImageRecord[]> {
  using directory = new Temporary();
  await using source = await openImageSource(directory.write('a.tar', tarOf(members)));
  expect(source.kind).toBe('docker-archive');
  return await source.images(options);
}

function withManifest(manifest: unknown): TestMember[] {
  return [
    ...dockerMembers([app, other]).filter(([name]) => name !== 'manifest.json'),
    ['manifest.json', JSON.stringify(manifest)],
  ];
}

const names = {
  config: `${digestHex(digestOf(app.config))}.json`,
  layers: app.layers.map((layer) => `${digestHex(digestOf(layer))}/layer.tar`),
};

describe('a docker-archive', () => {
  test('gives its images with their names in full, verified', async () => {
    using directory = new Temporary();
    const path = directory.write('a.tar', tarOf(dockerMembers([{ ...app, tags: ['app', 'r.io/app:2'] }, other])));
    await using source = await openImageSource(path);
    const images = await source.images();
    expect(images.map((image) => image.references)).toEqual([['docker.io/library/app:latest', 'r.io/app:2'], []]);
    expect(images[0]).toMatchObject({
      config: { bytes: app.config, digest: digestOf(app.config) },
      diffIds: app.layers.map((layer) => digestOf(layer)),
      platform: { os: 'linux', architecture: 'amd64' },
    });
    expect(images[0]?.manifest).toBeUndefined();
    expect(await validateSource(source)).toEqual([]);
  });

  test('that was unpacked into a directory is read as well', async () => {
    using directory = new Temporary();
    await using source = await openImageSource(writeTree(directory.path, dockerMembers([{ ...app, tags: ['app:1'] }])));
    expect(source.kind).toBe('docker-archive');
    expect((await source.images())[0]?.references).toEqual(['docker.io/library/app:1']);
    expect(await validateSource(source)).toEqual([]);
  });

  test('may hold layers as links to each other', async () => {
    const first = `${digestHex(digestOf(app.layers[0]!))}/layer.tar`;
    const manifest = [{ Config: names.config, RepoTags: null, Layers: ['x/layer.tar', names.layers[1]] }];
    const link: TestMember = ['x/layer.tar', { type: 'symlink', target: `../${first}` }];
    const [image] = await read([...withManifest(manifest), link]);
    expect(image?.layers.map((layer) => layer.file.length)).toEqual(app.layers.map((layer) => layer.length));
  });

  test('states the digest of layers that are named after it', async () => {
    const blob = `blobs/sha256/${digestHex(digestOf(other.layers[0]!))}`;
    const config = `blobs/sha256/${digestHex(digestOf(other.config))}`;
    const [image] = await read([
      ['manifest.json', JSON.stringify([{ Config: config, RepoTags: ['o:1'], Layers: [blob] }])],
      [blob, other.layers[0]!],
      [config, other.config],
    ]);
    expect(image?.layers[0]?.digest).toBe(digestOf(other.layers[0]!));
  });

  test('with an entry for each name of one image gives the image once', async () => {
    const entry = { Config: names.config, Layers: names.layers };
    const images = await read(
      withManifest([
        { ...entry, RepoTags: ['a:1'] },
        { ...entry, RepoTags: ['b:1', 'a:1'] },
      ]),
    );
    expect(images.map((image) => image.references)).toEqual([['docker.io/library/a:1', 'docker.io/library/b:1']]);
  });

  test('gives only the image that is asked for by name', async () => {
    const members = dockerMembers([
      { ...app, tags: ['app:1'] },
      { ...other, tags: ['other:1'] },
    ]);
    const images = await read(members, { reference: 'docker.io/library/other:1' });
    expect(images.map((image) => image.references)).toEqual([['docker.io/library/other:1']]);
    expect(await failure(() => read(members, { reference: 'gone' }))).toMatchObject({
      code: 'ERR_IMAGE_NOT_FOUND',
      message: expect.stringContaining('there is app:1, other:1') as string,
    });
  });

  test('reads an image for another platform, but not when one is asked for', async () => {
    const arm = testImage('arm', { architecture: 'arm64' });
    const members = dockerMembers([{ ...arm, tags: ['arm:1'] }]);
    expect(await read(members)).toHaveLength(1);
    expect(await read(members, { platform: parsePlatform('linux/arm64') })).toHaveLength(1);
    expect(await failure(() => read(members, { platform: parsePlatform('linux/s390x') }))).toMatchObject({
      code: 'ERR_NO_PLATFORM',
      message: expect.stringContaining('nothing fits linux/s390x; there is linux/arm64') as string,
    });
  });

  test('that holds one name for several platforms gives the one asked for', async () => {
    const arm = testImage('app', { architecture: 'arm64' });
    const members = dockerMembers([
      { ...app, tags: ['app:1'] },
      { ...arm, tags: ['app:1'] },
    ]);
    const [image, ...rest] = await read(members, { platform: parsePlatform('linux/arm64') });
    expect(image?.config.digest).toBe(digestOf(arm.config));
    expect(rest).toEqual([]);
  });

  test('takes configs under any name, and verifies those that are named after their digest', async () => {
    const manifest = [{ Config: 'config.json', RepoTags: [], Layers: names.layers }];
    const [image] = await read([...withManifest(manifest), ['config.json', app.config]]);
    expect(image?.config.digest).toBe(digestOf(app.config));
    for (const name of [`${'ab'.repeat(32)}.json`, `sha256:${'ab'.repeat(32)}`, `blobs/sha256/${'ab'.repeat(32)}`]) {
      const wrong = [{ Config: name, RepoTags: [], Layers: names.layers }];
      expect(await failure(() => read([...withManifest(wrong), [name, app.config]]))).toMatchObject({
        code: 'ERR_DIGEST_MISMATCH',
      });
    }
  });

  test.each([
    ['0.Config', [{ RepoTags: [], Layers: [] }]],
    ['0.Config', [{ Config: 5, Layers: [] }]],
    ['0.Layers', [{ Config: names.config, Layers: 'x' }]],
    ['0.Layers.1', [{ Config: names.config, Layers: ['x', null] }]],
    ['0.RepoTags.0', [{ Config: names.config, RepoTags: [1], Layers: [] }]],
    ['0.RepoTags: "A B:1" is not an image reference', [{ Config: names.config, RepoTags: ['A B:1'], Layers: [] }]],
    ['0: ', ['x']],
  ])('with a wrong %s is refused by the name of the field', async (field, manifest) => {
    const error = await failure(() => read(withManifest(manifest)));
    expect(error.code).toBe('ERR_MALFORMED_IMAGE');
    expect(error.message).toContain(`manifest.json: ${field}`);
  });

  test.each([
    ['lists fewer layers than diff IDs', { Config: names.config, Layers: names.layers.slice(1) }, 'layers: 1 listed'],
    ['lists more layers than diff IDs', { Config: names.config, Layers: [...names.layers, 'x'] }, 'layers: 3 listed'],
    [
      'names a layer that is missing',
      { Config: names.config, Layers: [names.layers[0], 'x/layer.tar'] },
      'the layer is missing',
    ],
    ['names a config that is missing', { Config: 'gone.json', Layers: [] }, 'the config is missing'],
    ['names a config outside', { Config: '../../etc/passwd', Layers: [] }, 'not a name of a member'],
    ['names a layer outside', { Config: names.config, Layers: ['../x', names.layers[1]] }, 'not a name of a member'],
    ['names an empty layer name', { Config: names.config, Layers: ['', names.layers[1]] }, 'not a name of a member'],
  ])('that %s is refused', async (_, entry, message) => {
    expect(await failure(() => read(withManifest([entry])))).toMatchObject({
      code: 'ERR_MALFORMED_IMAGE',
      message: expect.stringContaining(message) as string,
    });
  });

  test('without images is refused', async () => {
    expect(await failure(() => read([['manifest.json', '[]']]))).toMatchObject({
      code: 'ERR_UNSUPPORTED_FORMAT',
      message: expect.stringContaining('there is no container image in it') as string,
    });
  });

  test('with an image without layers is read', async () => {
    const empty = testImage('empty', { layerCount: 0 });
    const [image] = await read(dockerMembers([empty]));
    expect(image?.layers).toEqual([]);
  });

  test('whose layer is another than the diff ID says is found out by validation', async () => {
    using directory = new Temporary();
    const members = dockerMembers([other]).map(([name, content]): TestMember =>
      name.endsWith('layer.tar') ? [name, testLayer('forged')] : [name, content],
    );
    await using source = await openImageSource(directory.write('a.tar', tarOf(members)));
    expect(await validateSource(source)).toEqual([
      {
        claim: `image ${digestOf(other.config)}: layer 0: diff ID`,
        claimed: digestOf(other.layers[0]!),
        found: digestOf(testLayer('forged')),
      },
    ]);
  });
});
