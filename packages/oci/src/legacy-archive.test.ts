import { digestOf } from '@layerstore/core';
import { describe, expect, test } from 'vitest';
import type { ImageRecord } from './image-source.js';
import { openImageSource } from './open-image-source.js';
import { failure } from './testing/failure.js';
import { testLayer } from './testing/images.js';
import { tarOf, writeTree, type TestMember } from './testing/tar.js';
import { Temporary } from './testing/temporary.js';
import { validateSource } from './validate.js';

const base = '1'.repeat(64);
const top = '2'.repeat(64);

interface Layer {
  readonly id: string;
  readonly description?: string;
  readonly tar?: Buffer;
}

/** As `docker save` of Docker 1.9 lays it out. */
function legacyMembers(layers: readonly Layer[], repositories?: unknown): TestMember[] {
  const members = layers.flatMap(
    ({ id, description = JSON.stringify({ id }), tar = testLayer(id) }): TestMember[] => [
      [`${id}/`, { type: 'directory' }],
      [`${id}/VERSION`, '1.0'],
      [`${id}/json`, description],
      [`${id}/layer.tar`, tar],
    ],
  );
  return repositories === undefined ? members : [...members, ['repositories', JSON.stringify(repositories)]];
}

/** Descriptions with everything that a rewriting in JavaScript would alter. */
const docker19: Layer[] = [
  {
    id: base,
    description:
      `{"id":"${base}","created":"2015-10-31T22:22:54.690851953Z","container_config":{"Cmd":["/bin/sh","-c","#(nop) ADD file:a in /"],` +
      `"Memory":9223372036854775807},"docker_version":"1.9.1","config":{"Cmd":null},"architecture":"amd64","os":"linux","Size":125115267}`,
    tar: testLayer('base'),
  },
  {
    id: top,
    description:
      `{ "id":"${top}", "parent":"${base}", "created":"2015-10-31T22:22:55.613815829Z", "author":"Zoë <z@example.org>",\n` +
      `  "container_config":{"Cmd":["/bin/sh","-c","echo a && b > c"]}, "docker_version":"1.9.1", "comment":"x",\n` +
      `  "config":{"Env":["A=1 < 2"], "Memory":9223372036854775807, "Cmd":["/bin/bash"]}, "architecture":"amd64", "os":"linux", "Size":0, "throwaway":true }\n`,
    tar: testLayer('top'),
  },
];

async function read(members: readonly TestMember[], options = {}): Promise<ImageRecord[]> {
  using directory = new Temporary();
  await using source = await openImageSource(directory.write('a.tar', tarOf(members)));
  expect(source.kind).toBe('docker-archive');
  return await source.images(options);
}

describe('an archive of docker 1.9', () => {
  test('gets the image ID that dockerd gives it on load', async () => {
    using directory = new Temporary();
    const members = legacyMembers(docker19, { app: { '1': top }, 'r.io/app': { x: top } });
    await using source = await openImageSource(directory.write('a.tar', tarOf(members)));
    const [image, ...rest] = await source.images();
    expect(rest).toEqual([]);
    expect(image).toMatchObject({
      references: ['docker.io/library/app:1', 'r.io/app:x'],
      platform: { os: 'linux', architecture: 'amd64' },
      diffIds: [digestOf(testLayer('base')), digestOf(testLayer('top'))],
    });
    // `docker load` of this archive by dockerd 20.10.24, then `docker images --no-trunc`.
    expect(image?.config.digest).toBe('sha256:eb0796f51cae4c3ff4a6e008d378f30c2cf5b568151cd4358f4575ea281957ed');
    expect(await validateSource(source)).toEqual([]);
  });

  test('is read from the directory that it was unpacked into', async () => {
    using directory = new Temporary();
    const members = legacyMembers(docker19, { app: { '1': top } }).filter(([name]) => !name.endsWith('/'));
    await using source = await openImageSource(writeTree(directory.path, members));
    expect(await source.images()).toMatchObject([{ references: ['docker.io/library/app:1'] }]);
  });

  test('without names gives the images that are nobody’s parent', async () => {
    const images = await read(legacyMembers(docker19));
    expect(images.map((image) => [image.references, image.layers.length])).toEqual([[[], 2]]);
  });

  test('gives a layer that has a name of its own as an image too', async () => {
    const images = await read(legacyMembers(docker19, { base: { '1': base }, app: { '1': top } }));
    expect(images.map((image) => [image.references, image.layers.length])).toEqual([
      [['docker.io/library/base:1'], 1],
      [['docker.io/library/app:1'], 2],
    ]);
  });

  test('gives only the image that is asked for, without hashing the others', async () => {
    const other: Layer = { id: '3'.repeat(64), tar: Buffer.from([0x1f, 0x8b, 8, 0, 0, 0]) };
    const members = legacyMembers([...docker19, other], { app: { '1': top }, other: { '1': other.id } });
    expect(await read(members, { reference: 'app:1' })).toHaveLength(1);
    expect(await failure(() => read(members))).toMatchObject({ code: 'ERR_TRUNCATED' });
  });

  const describe1 = (fields: object): string => JSON.stringify({ id: base, ...fields });

  test.each([
    [
      'whose layers are each other’s parents',
      [
        { id: base, description: describe1({ parent: top }) },
        { id: top, description: JSON.stringify({ id: top, parent: base }) },
      ],
      'parents',
    ],
    ['whose layer is its own parent', [{ id: base, description: describe1({ parent: base }) }], 'parents'],
    ['whose parent is missing', [{ id: base, description: describe1({ parent: top }) }], 'the layer is missing'],
    [
      'whose parent climbs out',
      [{ id: base, description: describe1({ parent: '../../etc' }) }],
      'not a name of a member',
    ],
    ['whose layer has another id', [{ id: base, description: describe1({ id: top }) }], 'id: '],
    [
      'whose layer has an id of another form',
      [{ id: base, description: describe1({ id: '../x' }) }],
      'id: not 64 hex digits',
    ],
  ] as const)('%s is refused', async (_, layers, message) => {
    const members = legacyMembers(layers, { app: { '1': base } });
    expect(await failure(() => read(members, { reference: 'app:1' }))).toMatchObject({
      code: 'ERR_MALFORMED_IMAGE',
      message: expect.stringContaining(message) as string,
    });
  });

  test('stops hashing when the signal is aborted', async () => {
    const controller = new AbortController();
    const reading = read(legacyMembers(docker19), { signal: controller.signal });
    controller.abort();
    expect(await failure(() => reading)).toMatchObject({ code: 'ERR_ABORTED' });
  });

  test('without the layer itself is refused', async () => {
    const members = legacyMembers(docker19).filter(([name]) => name !== `${base}/layer.tar`);
    expect(await failure(() => read(members))).toMatchObject({
      code: 'ERR_MALFORMED_IMAGE',
      message: expect.stringContaining(`${base}/layer.tar: the layer is missing`) as string,
    });
  });

  test('with a name that is no reference is refused', async () => {
    expect(await failure(() => read(legacyMembers(docker19, { 'A B': { '1': top } })))).toMatchObject({
      code: 'ERR_MALFORMED_IMAGE',
      message: expect.stringContaining('"A B:1" is not an image reference') as string,
    });
  });
});
