import { cpSync, writeFileSync } from 'node:fs';
import { digestOf } from '@layerstore/core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ImageRecord, SourceKind } from './image-source.js';
import { openImageSource } from './open-image-source.js';
import { planDockerArchive, planOciArchive } from './plan-archive.js';
import { planOciLayout } from './plan-layout.js';
import { hostPlatform } from './platform.js';
import { bytesOf, exported } from './testing/exports.js';
import { testImage } from './testing/images.js';
import { reasonToSkip, run } from './testing/programs.js';
import { writeTree } from './testing/tar.js';
import { Temporary } from './testing/temporary.js';
import { validateSource } from './validate.js';

const app = testImage('app', { ...hostPlatform(), layerCount: 2 });
const other = testImage('other', hostPlatform());
const appId = digestOf(app.config);
const appLayers = app.layers.map((layer) => digestOf(layer));

const directory = new Temporary();
const at = (name: string): string => directory.join(name);

/** The images of an archive that a program wrote; every digest and size in it is checked. */
async function readBack(name: string, kind: SourceKind): Promise<ImageRecord[]> {
  await using source = await openImageSource(at(name));
  expect(source.kind).toBe(kind);
  expect(await validateSource(source)).toEqual([]);
  return await source.images();
}

beforeAll(() => {
  const one = exported(app, ['localhost/app:1']);
  const both = [exported(app, ['localhost/app:1', 'docker.io/library/app:2']), exported(other, ['localhost/other:1'])];
  directory.write('one.docker.tar', bytesOf(planDockerArchive([one])));
  directory.write('both.docker.tar', bytesOf(planDockerArchive(both)));
  for (const compression of ['none', 'gzip', 'zstd'] as const) {
    const image = exported(app, ['localhost/app:1'], compression);
    directory.write(`${compression}.oci.tar`, bytesOf(planOciArchive([image])));
  }
  writeTree(
    at('layout'),
    planOciLayout([exported(app, ['localhost/app:1'], 'gzip')]).map(({ path, part }) => [
      path,
      part.kind === 'bytes' ? part.data : part.bytes,
    ]),
  );
});

afterAll(() => directory[Symbol.dispose]());

const noSkopeo = reasonToSkip('skopeo', 'anyone');
describe.skipIf(noSkopeo !== undefined)(`skopeo ${noSkopeo ?? ''}`, () => {
  const copy = (from: string, to: string): string =>
    run('skopeo', ['--insecure-policy', 'copy', '--quiet', from, to], directory.path);

  test.each([
    ['docker-archive', 'one.docker.tar', 'sk.docker.tar', 'docker-archive'],
    ['oci-archive', 'none.oci.tar', 'sk.oci.tar', 'oci-archive'],
    ['oci', 'layout', 'sk.layout', 'oci-layout'],
  ] as const)(
    'reads our %s and writes one that is read back with the same layers',
    async (transport, ours, theirs, kind) => {
      const tag = transport === 'docker-archive' ? 'localhost/app:1' : '1';
      copy(`${transport}:${at(ours)}:${tag}`, `${transport}:${at(theirs)}:${tag}`);
      const [image, ...rest] = await readBack(theirs, kind);
      expect(rest).toEqual([]);
      expect(image).toMatchObject({ config: { digest: appId }, diffIds: appLayers });
      expect(transport === 'docker-archive' ? image?.references : image?.tags).toEqual([tag]);
    },
  );

  test.each(['one.docker.tar', 'none.oci.tar', 'gzip.oci.tar', 'zstd.oci.tar'])(
    'unpacks our %s into a directory that is read back with the same layers',
    async (ours) => {
      const transport = ours.includes('docker') ? 'docker-archive' : 'oci-archive';
      copy(`${transport}:${at(ours)}`, `dir:${at(`${ours}.dir`)}`);
      const [image] = await readBack(`${ours}.dir`, 'docker-directory');
      expect(image).toMatchObject({ config: { digest: appId }, diffIds: appLayers, references: [] });
    },
  );

  test('finds each image of our docker-archive by its name', () => {
    for (const name of ['localhost/app:1', 'app:2', 'localhost/other:1']) {
      const inspected = run('skopeo', ['inspect', `docker-archive:${at('both.docker.tar')}:${name}`], directory.path);
      expect(JSON.parse(inspected)).toMatchObject({ Os: 'linux' });
    }
  });
});

const noPodman = reasonToSkip('podman', 'root');
describe.skipIf(noPodman !== undefined)(`podman ${noPodman ?? ''}`, () => {
  const podman = (...args: string[]): string =>
    run(
      'podman',
      [
        '--root',
        at('podman'),
        '--runroot',
        at('podman-run'),
        '--tmpdir',
        at('podman-tmp'),
        '--storage-driver',
        'vfs',
        ...args,
      ],
      directory.path,
    );

  test('loads our docker-archive under all its names and saves both images back in every form', async () => {
    podman('load', '-q', '-i', at('both.docker.tar'));
    const ids = podman('images', '--no-trunc', '--format', '{{.ID}} {{.Repository}}:{{.Tag}}').trim().split('\n');
    expect(ids.sort()).toEqual(
      [
        `${appId} docker.io/library/app:2`,
        `${appId} localhost/app:1`,
        `${digestOf(other.config)} localhost/other:1`,
      ].sort(),
    );

    podman('save', '-q', '--format', 'docker-archive', '-o', at('pod.docker.tar'), 'localhost/app:1');
    expect(await readBack('pod.docker.tar', 'docker-archive')).toMatchObject([
      { references: ['localhost/app:1'], config: { digest: appId }, diffIds: appLayers },
    ]);

    podman(
      'save',
      '-q',
      '-m',
      '-o',
      at('pod.multi.tar'),
      'localhost/app:1',
      'docker.io/library/app:2',
      'localhost/other:1',
    );
    const several = await readBack('pod.multi.tar', 'docker-archive');
    expect(several.map((image) => [image.config.digest, [...image.references].sort()]).sort()).toEqual(
      [
        [appId, ['docker.io/library/app:2', 'localhost/app:1']],
        [digestOf(other.config), ['localhost/other:1']],
      ].sort(),
    );

    podman('save', '-q', '--format', 'oci-archive', '-o', at('pod.oci.tar'), 'localhost/app:1');
    expect(await readBack('pod.oci.tar', 'oci-archive')).toMatchObject([
      { references: ['localhost/app:1'], diffIds: appLayers },
    ]);

    podman('save', '-q', '--format', 'docker-dir', '-o', at('pod.dir'), 'localhost/app:1');
    expect(await readBack('pod.dir', 'docker-directory')).toMatchObject([{ diffIds: appLayers }]);
    podman('rmi', '-a', '-f');
  });

  test.each(['none', 'gzip', 'zstd'])('loads our OCI archive with %s layers under its name', (compression) => {
    podman('load', '-q', '-i', at(`${compression}.oci.tar`));
    const listed = podman('images', '--no-trunc', '--format', '{{.ID}} {{.Repository}}:{{.Tag}}').trim();
    expect(listed).toBe(`${appId} localhost/app:1`);
    podman('rmi', '-a', '-f');
  });
});

const noBuildah = reasonToSkip('buildah', 'root');
describe.skipIf(noBuildah !== undefined)(`buildah ${noBuildah ?? ''}`, () => {
  const buildah = (...args: string[]): string =>
    run(
      'buildah',
      ['--root', at('buildah'), '--runroot', at('buildah-run'), '--storage-driver', 'vfs', ...args],
      directory.path,
    ).trim();

  test('commits a layer on our image and writes it in every form, and as an index, all read back', async () => {
    const container = buildah('from', '--pull-never', `docker-archive:${at('one.docker.tar')}`);
    writeFileSync(at('added'), 'more');
    buildah('copy', '-q', container, at('added'), '/added');
    buildah('commit', '-q', container, 'localhost/more:1');

    buildah('push', '-q', 'localhost/more:1', `docker-archive:${at('b.docker.tar')}:localhost/more:1`);
    const [docker] = await readBack('b.docker.tar', 'docker-archive');
    expect(docker?.references).toContain('localhost/more:1');
    expect(docker?.diffIds).toHaveLength(3);
    expect(docker?.diffIds.slice(0, 2)).toEqual(appLayers);

    buildah('push', '-q', 'localhost/more:1', `oci-archive:${at('b.oci.tar')}:localhost/more:1`);
    expect(await readBack('b.oci.tar', 'oci-archive')).toMatchObject([
      { references: ['localhost/more:1'], diffIds: docker?.diffIds },
    ]);

    buildah('manifest', 'create', 'localhost/list:1');
    buildah('manifest', 'add', 'localhost/list:1', 'localhost/more:1');
    buildah('manifest', 'push', '-q', '--all', 'localhost/list:1', `oci:${at('b.layout')}:list`);
    expect(await readBack('b.layout', 'oci-layout')).toMatchObject([{ tags: ['list'], diffIds: docker?.diffIds }]);
    buildah('rm', '-a');
    buildah('rmi', '-a', '-f');
  });
});

const noUmoci = reasonToSkip('umoci', 'root');
describe.skipIf(noUmoci !== undefined)(`umoci ${noUmoci ?? ''}`, () => {
  const umoci = (...args: string[]): string => run('umoci', args, directory.path);

  test('writes a layout of its own, with tags and a layer without end blocks, that is read', async () => {
    writeFileSync(at('file'), 'x');
    umoci('init', '--layout', at('u.layout'));
    umoci('new', '--image', `${at('u.layout')}:empty`);
    umoci('tag', '--image', `${at('u.layout')}:empty`, 'filled');
    umoci('insert', '--image', `${at('u.layout')}:filled`, at('file'), '/file');
    const images = await readBack('u.layout', 'oci-layout');
    expect(images.map((image) => [image.tags, image.layers.length])).toEqual(
      expect.arrayContaining([
        [['empty'], 0],
        [['filled'], 1],
      ]),
    );
  });

  test('adds a layer to our layout, which is read back', async () => {
    cpSync(at('layout'), at('u.ours'), { recursive: true });
    writeFileSync(at('file'), 'x');
    umoci('insert', '--image', `${at('u.ours')}:1`, at('file'), '/file');
    const [image] = await readBack('u.ours', 'oci-layout');
    expect(image?.diffIds).toHaveLength(3);
    expect(image?.diffIds.slice(0, 2)).toEqual(appLayers);
  });
});
