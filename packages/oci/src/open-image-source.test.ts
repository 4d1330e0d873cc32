import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { compress } from '@layerstore/archive';
import { digestHex, digestOf } from '@layerstore/core';
import { describe, expect, test } from 'vitest';
import { mediaTypes } from './media-type.js';
import { openImageSource } from './open-image-source.js';
import { hostPlatform, parsePlatform } from './platform.js';
import { failure } from './testing/failure.js';
import { dockerMembers, named, TestLayout, testImage } from './testing/images.js';
import { tarOf, writeTree, type TestMember } from './testing/tar.js';
import { Temporary } from './testing/temporary.js';
import { validateSource } from './validate.js';

const host = hostPlatform();
const app = testImage('app', host);
const archive = tarOf(dockerMembers([{ ...app, tags: ['app:1'] }]));

describe('an archive that is compressed as a whole', () => {
  test.each([
    ['gzip', () => gzipSync(archive)],
    ['zstd', () => Buffer.concat([...compress([archive], 'zstd')].map((chunk) => Buffer.from(chunk)))],
  ])('with %s is unpacked into the scratch directory, and removed when the source is disposed of', async (_, pack) => {
    using directory = new Temporary();
    using scratch = new Temporary();
    const path = directory.write('a.tar', pack());
    {
      await using source = await openImageSource(path, { scratch: scratch.path });
      expect(source.subject).toBe(path);
      expect(await source.images()).toMatchObject([{ references: ['docker.io/library/app:1'] }]);
      expect(await validateSource(source)).toEqual([]);
      expect(readdirSync(scratch.path)).toHaveLength(1);
    }
    expect(readdirSync(scratch.path)).toEqual([]);
  });

  test('cannot be opened without a scratch directory', async () => {
    using directory = new Temporary();
    const path = directory.write('a.tar.gz', gzipSync(archive));
    expect(await failure(() => openImageSource(path))).toMatchObject({ code: 'ERR_INVALID_ARGUMENT', subject: path });
  });

  test.each([
    ['is cut short', gzipSync(archive).subarray(0, -9), 'ERR_TRUNCATED'],
    ['has a flipped bit', damaged(gzipSync(archive)), 'ERR_MALFORMED_ARCHIVE'],
    ['holds no archive', gzipSync(Buffer.alloc(5000, 'x')), 'ERR_MALFORMED_ARCHIVE'],
    ['holds no image', gzipSync(tarOf([['etc/passwd', 'root']])), 'ERR_UNSUPPORTED_FORMAT'],
  ])('and %s leaves nothing in the scratch directory', async (_, bytes, code) => {
    using directory = new Temporary();
    using scratch = new Temporary();
    const path = directory.write('a.tar.gz', bytes);
    expect(await failure(() => openImageSource(path, { scratch: scratch.path }))).toMatchObject({
      code,
      subject: path,
    });
    expect(readdirSync(scratch.path)).toEqual([]);
  });

  test('is given up when the signal is aborted, and leaves nothing', async () => {
    using directory = new Temporary();
    using scratch = new Temporary();
    const path = directory.write('a.tar.gz', gzipSync(archive));
    const options = { scratch: scratch.path, signal: AbortSignal.abort() };
    expect(await failure(() => openImageSource(path, options))).toMatchObject({ code: 'ERR_ABORTED' });
    expect(readdirSync(scratch.path)).toEqual([]);
  });

  test('with xz is unsupported, with the program that unpacks it', async () => {
    using directory = new Temporary();
    const path = directory.write('a.tar.xz', Buffer.from('fd377a585a000004e6d6b446', 'hex'));
    expect(await failure(() => openImageSource(path))).toMatchObject({
      code: 'ERR_UNSUPPORTED_FORMAT',
      hint: expect.stringContaining('xz -d') as string,
    });
  });
});

describe('a path', () => {
  test.each([
    ['an empty file', Buffer.alloc(0), 'ERR_UNSUPPORTED_FORMAT'],
    ['a text', Buffer.alloc(2048, 'hello\n'), 'ERR_MALFORMED_ARCHIVE'],
    ['a tar of a root file system', tarOf([['etc/hostname', 'x']]), 'ERR_UNSUPPORTED_FORMAT'],
  ])('of %s is refused by its name', async (_, bytes, code) => {
    using directory = new Temporary();
    const path = directory.write('file', bytes);
    expect(await failure(() => openImageSource(path))).toMatchObject({ code, subject: path });
  });

  test('that does not exist is not found', async () => {
    using directory = new Temporary();
    const file = directory.write('file', 'x');
    for (const path of [directory.join('gone'), `${file}/x`]) {
      expect(await failure(() => openImageSource(path))).toMatchObject({ code: 'ERR_NOT_FOUND', subject: path });
    }
  });

  test('of a fifo is refused without waiting for a writer', async () => {
    using directory = new Temporary();
    execFileSync('mkfifo', [directory.join('fifo')]);
    expect(await failure(() => openImageSource(directory.join('fifo')))).toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
    });
  });

  test('of a directory without an image is refused with a hint', async () => {
    using directory = new Temporary();
    expect(await failure(() => openImageSource(directory.path))).toMatchObject({
      code: 'ERR_UNSUPPORTED_FORMAT',
      subject: directory.path,
    });
  });
});

describe('an archive that is a docker-archive and an OCI layout at once', () => {
  /** As docker >= 25 saves: the layout's names may be more or less than those of `RepoTags`. */
  function hybrid(tags: readonly string[] | null, name: string | undefined, drop?: string): TestMember[] {
    const layout = new TestLayout();
    const descriptor = layout.addImage(app);
    const blob = (bytes: Buffer): string => `blobs/sha256/${digestHex(digestOf(bytes))}`;
    const manifest = [{ Config: blob(app.config), RepoTags: tags, Layers: [drop ?? blob(app.layers[0]!)] }];
    return [
      ...layout.members([name === undefined ? descriptor : named(descriptor, name)]),
      ['manifest.json', JSON.stringify(manifest)],
    ];
  }

  test.each([
    ['is read as the first', hybrid(['app:1'], 'x/y:1'), 'docker-archive', ['docker.io/library/app:1']],
    ['is read as the first if neither has names', hybrid(null, undefined), 'docker-archive', []],
    ['is read as the second if only that has names', hybrid(null, 'x/y:1'), 'oci-archive', ['docker.io/x/y:1']],
    [
      'is read as the second if the first is incomplete',
      hybrid(['app:1'], 'x/y:1', 'gone'),
      'oci-archive',
      ['docker.io/x/y:1'],
    ],
  ])('%s', async (_, members, kind, references) => {
    using directory = new Temporary();
    await using source = await openImageSource(directory.write('a.tar', tarOf(members)));
    expect(source.kind).toBe(kind);
    expect(await source.images()).toMatchObject([{ references, config: { digest: digestOf(app.config) } }]);
    expect(await validateSource(source)).toEqual([]);
  });

  test('gives a platform that only the layout has', async () => {
    using directory = new Temporary();
    const platform = parsePlatform('linux/mips64le');
    const layout = new TestLayout();
    const index = layout.addIndex([{ ...layout.addImage(testImage('other', platform)), platform }]);
    const members = [...layout.members([index]), ...dockerMembers([{ ...app, tags: ['app:1'] }])];
    await using source = await openImageSource(directory.write('a.tar', tarOf(members)));
    expect(await source.images()).toMatchObject([{ platform: host }]);
    expect(await source.images({ platform })).toMatchObject([{ platform }]);
  });
});

describe('a directory of skopeo', () => {
  const layer = app.layers[0]!;
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: mediaTypes.dockerManifest,
    config: { mediaType: mediaTypes.dockerConfig, digest: digestOf(app.config), size: app.config.length },
    layers: [{ mediaType: mediaTypes.dockerLayerGzip, digest: digestOf(layer), size: layer.length }],
  });
  const files: TestMember[] = [
    ['version', 'Directory Transport Version: 1.1\n'],
    ['manifest.json', manifest],
    [digestHex(digestOf(app.config)), app.config],
    [digestHex(digestOf(layer)), layer],
  ];

  test.each(['directory', 'tar'])('in a %s is read, without names', async (form) => {
    using directory = new Temporary();
    const path = form === 'tar' ? directory.write('a.tar', tarOf(files)) : writeTree(directory.path, files);
    await using source = await openImageSource(path);
    expect(source.kind).toBe('docker-directory');
    expect(await source.images()).toMatchObject([
      { references: [], tags: [], manifest: { digest: digestOf(manifest), mediaType: mediaTypes.dockerManifest } },
    ]);
    expect(await validateSource(source)).toEqual([]);
  });

  test('with all platforms of an index gives the one for this machine', async () => {
    using directory = new Temporary();
    const entry = { mediaType: mediaTypes.dockerManifest, digest: digestOf(manifest), size: manifest.length };
    const index = {
      schemaVersion: 2,
      mediaType: mediaTypes.dockerManifestList,
      manifests: [{ ...entry, platform: host }],
    };
    const path = writeTree(directory.path, [
      ...files.filter(([name]) => name !== 'manifest.json'),
      ['manifest.json', JSON.stringify(index)],
      [`${digestHex(digestOf(manifest))}.manifest.json`, manifest],
    ]);
    await using source = await openImageSource(path);
    expect(await source.images()).toMatchObject([{ manifest: { digest: digestOf(manifest) } }]);
  });

  test('of a later version is unsupported', async () => {
    using directory = new Temporary();
    const path = writeTree(directory.path, [['version', 'Directory Transport Version: 2.0\n'], ...files.slice(1)]);
    expect(await failure(() => openImageSource(path))).toMatchObject({ code: 'ERR_UNSUPPORTED_FORMAT' });
  });

  test('with a Docker schema 1 manifest is unsupported, with the way out', async () => {
    using directory = new Temporary();
    const path = writeTree(directory.path, [['manifest.json', '{"schemaVersion":1,"fsLayers":[]}']]);
    expect(await failure(() => openImageSource(path))).toMatchObject({
      code: 'ERR_UNSUPPORTED_FORMAT',
      hint: expect.stringContaining('skopeo copy') as string,
    });
  });
});

function damaged(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  const middle = copy.length >> 1;
  copy[middle] = (copy[middle] ?? 0) ^ 0x10;
  return copy;
}
