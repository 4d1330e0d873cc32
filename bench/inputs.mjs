// The input of every benchmark: a real Debian root file system, packed as images in every form that a peer reads. Made
// once and kept in $LAYERSTORE_BENCH_CACHE (default: /var/tmp/layerstore-bench).
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  createReadStream,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { undoLater } from './cleanup.mjs';
import { run } from './measure.mjs';

/**
 * @typedef {object} Layer
 * @property {string} tar the uncompressed layer
 * @property {string} blob the layer as the image has it
 */

/**
 * @typedef {object} Image
 * @property {string} name
 * @property {Compression} compression
 * @property {string} reference
 * @property {string} ociLayout directory
 * @property {string} dockerArchive file
 * @property {readonly Layer[]} layers
 */

/** @typedef {'plain' | 'gzip' | 'zstd'} Compression */

const suffixes = { plain: '', gzip: '.gz', zstd: '.zst' };
const mediaTypes = { plain: 'tar', gzip: 'tar+gzip', zstd: 'tar+zstd' };
const compressors = { gzip: ['gzip', '-6', '-n', '-k', '-f'], zstd: ['zstd', '-q', '-3', '-k', '-f'] };

/** The directory in which inputs are kept and file systems are made. */
export function cache() {
  const directory = process.env['LAYERSTORE_BENCH_CACHE'] ?? '/var/tmp/layerstore-bench';
  mkdirSync(directory, { recursive: true });
  return directory;
}

/** The tar of a Debian 12 root file system: about 170 MB, 8,700 members. */
export async function debianTar() {
  return made('debian.tar', async (target) => {
    process.stderr.write('bench: making a Debian root file system with mmdebstrap\n');
    await run(['mmdebstrap', '--variant=minbase', '--format=tar', 'bookworm', target]);
  });
}

/**
 * An image of the Debian root file system.
 * @param {{ compression: Compression, layers?: 1 | 2 }} options
 */
export async function debianImage({ compression, layers = 1 }) {
  const whole = await debianTar();
  const tars = layers === 1 ? [whole] : await debianHalves(whole);
  return image(`debian-${layers}-${compression}`, compression, tars);
}

/** Two layers with about the same number of bytes. */
async function debianHalves(whole) {
  const upperHalf = ['./usr/share', './usr/bin'];
  const first = await made('debian-half-1.tar', (target) =>
    withTree(whole, (tree) =>
      run(['tar', '-C', tree, ...upperHalf.map((path) => `--exclude=${path}`), ...packed(target), '.']),
    ),
  );
  const second = await made('debian-half-2.tar', (target) =>
    withTree(whole, (tree) => run(['tar', '-C', tree, ...packed(target), ...upperHalf])),
  );
  return [first, second];
}

/**
 * An image with one layer of about 2 GB: twelve copies of the Debian root file system in directories of their own.
 * @param {Compression} compression
 */
export async function manyFilesImage(compression) {
  const whole = await debianTar();
  const tar = await made('many.tar', (target) =>
    withTree(whole, async (tree) => {
      const copies = Array.from({ length: 12 }, (_, index) => `copy-${index}`);
      const [first = '', ...others] = copies;
      const parent = `${tree}-copies`;
      mkdirSync(parent);
      const remove = undoLater(() => rmSync(parent, { recursive: true }));
      renameSync(tree, join(parent, first));
      for (const copy of others) await run(['cp', '-a', join(parent, first), join(parent, copy)]);
      await run(['tar', '-C', parent, ...packed(target), '.']);
      await remove();
      mkdirSync(tree);
    }),
  );
  return image(`many-${compression}`, compression, [tar]);
}

/** An image with one layer that holds one file of 2 GiB without a pattern. */
export async function oneFileImage() {
  const tar = await made('one.tar', async (target) => {
    const directory = mkdtempSync(join(cache(), 'one-'));
    const remove = undoLater(() => rmSync(directory, { recursive: true }));
    await run(['dd', 'if=/dev/urandom', `of=${join(directory, 'file')}`, 'bs=1M', 'count=2048', 'status=none']);
    await run(['tar', '-C', directory, ...packed(target), '.']);
    await remove();
  });
  return image('one-gzip', 'gzip', [tar]);
}

/**
 * Archives that hold `count` images between them, `many-0` and so on, with one small layer in common.
 * @param {number} count
 */
export async function* manyImages(count) {
  const directory = mkdtempSync(join(cache(), 'many-'));
  const remove = undoLater(() => rmSync(directory, { recursive: true }));
  const place = join(directory, 'archive');
  mkdirSync(place);
  writeFileSync(join(directory, 'file'), 'content');
  await run(['tar', '-C', directory, ...packed(join(place, 'layer.tar')), 'file']);
  const diffId = await sha256(join(place, 'layer.tar'));
  for (let first = 0; first < count; first += 1000) {
    const numbers = Array.from({ length: Math.min(1000, count - first) }, (_, index) => first + index);
    const manifest = numbers.map((number) => {
      const config = { architecture: 'amd64', os: 'linux', created: new Date(number * 60_000).toISOString() };
      const name = `${number}.json`;
      writeFileSync(join(place, name), JSON.stringify({ ...config, rootfs: { type: 'layers', diff_ids: [diffId] } }));
      return { Config: name, RepoTags: [`many-${number}:latest`], Layers: ['layer.tar'] };
    });
    writeFileSync(join(place, 'manifest.json'), JSON.stringify(manifest));
    const archive = join(directory, 'archive.tar');
    await run(['tar', '-C', place, ...packed(archive), '.']);
    yield archive;
  }
  await remove();
}

/**
 * An image of `depth` small layers: four files each in a directory of their own, and one that every layer replaces.
 * @param {number} depth
 */
export async function deepImage(depth) {
  const tars = [];
  for (let layer = 0; layer < depth; layer += 1) {
    tars.push(
      await madeOfTree(`deep-${layer}.tar`, (tree) => {
        mkdirSync(join(tree, `layer-${layer}`));
        for (let file = 0; file < 4; file += 1)
          writeFileSync(join(tree, `layer-${layer}`, `${file}`), 'x'.repeat(4096));
        writeFileSync(join(tree, 'shared'), `${layer}`);
      }),
    );
  }
  return image(`deep-${depth}`, 'plain', tars);
}

/**
 * The Debian root file system and two layers over it that delete files, make directories opaque and add files, in places
 * that a walk of the whole tree passes.
 * @returns {Promise<string[]>} tars, base first
 */
export async function editedDebian() {
  const edit = (number, hidden, opaque) =>
    madeOfTree(`debian-edit-${number}.tar`, (tree) => {
      for (const path of hidden) {
        mkdirSync(join(tree, dirname(path)), { recursive: true });
        writeFileSync(join(tree, dirname(path), `.wh.${basename(path)}`), '');
      }
      mkdirSync(join(tree, opaque), { recursive: true });
      writeFileSync(join(tree, opaque, '.wh..wh..opq'), '');
      for (let file = 0; file < 200; file += 1) writeFileSync(join(tree, opaque, `new-${number}-${file}`), 'new');
    });
  return [
    await debianTar(),
    await edit(1, ['usr/share/doc/apt', 'usr/share/doc/bash', 'etc/motd'], 'usr/share/locale'),
    await edit(2, ['usr/share/doc/coreutils', 'usr/lib/locale', 'usr/share/locale/new-1-1'], 'usr/share/zoneinfo'),
  ];
}

/** A base layer of `count` small files, a hundred in each directory. */
export async function filesTar(count) {
  return madeOfTree(`files-${count}.tar`, (tree) => {
    for (let file = 0; file < count; file += 1) {
      const directory = join(tree, `dir-${Math.floor(file / 100)}`);
      mkdirSync(directory, { recursive: true });
      writeFileSync(join(directory, `file-${file}`), `${file}\n`.repeat(20));
    }
  });
}

async function madeOfTree(name, fill) {
  return made(name, async (target) => {
    const tree = mkdtempSync(join(cache(), 'tree-'));
    const remove = undoLater(() => rmSync(tree, { recursive: true }));
    fill(tree);
    await run(['tar', '-C', tree, ...packed(target), '.']);
    await remove();
  });
}

const packed = (target) => ['--sort=name', '--numeric-owner', '--format=posix', '-cf', target];

async function withTree(tar, use) {
  const tree = mkdtempSync(join(cache(), 'tree-'));
  const remove = undoLater(() => rmSync(tree, { recursive: true }));
  await run(['tar', '-C', tree, '-xf', tar]);
  await use(tree);
  await remove();
}

/**
 * @param {string} name
 * @param {Compression} compression
 * @param {readonly string[]} tars
 * @returns {Promise<Image>}
 */
async function image(name, compression, tars) {
  const reference = `${name}:latest`;
  const layers = [];
  for (const tar of tars) layers.push({ tar, blob: await compressed(tar, compression) });
  const blobs = await Promise.all(layers.map(async ({ tar, blob }) => describe(blob, tar)));
  const config = Buffer.from(
    JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      created: '2024-01-01T00:00:00Z',
      config: { Cmd: ['/bin/sh'] },
      rootfs: { type: 'layers', diff_ids: blobs.map(({ diffId }) => diffId) },
      history: blobs.map(() => ({ created: '2024-01-01T00:00:00Z', created_by: 'bench' })),
    }),
  );
  const ociLayout = await made(`${name}.oci`, async (target) =>
    writeLayout(target, { reference, config, blobs, compression }),
  );
  const dockerArchive = await made(`${name}.docker.tar`, async (target) =>
    writeDockerArchive(target, { reference, config, blobs }),
  );
  return { name, compression, reference, ociLayout, dockerArchive, layers };
}

async function compressed(tar, compression) {
  if (compression === 'plain') return tar;
  return made(`${basename(tar)}${suffixes[compression]}`, async (target) => {
    const source = target.slice(0, -suffixes[compression].length);
    linkSync(tar, source);
    await run([...compressors[compression], source]);
    rmSync(source);
  });
}

async function describe(blob, tar) {
  const digest = await sha256(blob);
  return { path: blob, digest, size: statSync(blob).size, diffId: blob === tar ? digest : await sha256(tar) };
}

async function writeLayout(target, { reference, config, blobs, compression }) {
  const place = join(target, 'blobs/sha256');
  mkdirSync(place, { recursive: true });
  const put = (data) => {
    const digest = `sha256:${createHash('sha256').update(data).digest('hex')}`;
    writeFileSync(join(place, digest.slice(7)), data);
    return { digest, size: data.length };
  };
  for (const { path, digest } of blobs) copyFileSync(path, join(place, digest.slice(7)));
  const manifest = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...put(config) },
    layers: blobs.map(({ digest, size }) => ({
      mediaType: `application/vnd.oci.image.layer.v1.${mediaTypes[compression]}`,
      digest,
      size,
    })),
  };
  const index = {
    schemaVersion: 2,
    manifests: [
      {
        mediaType: manifest.mediaType,
        ...put(Buffer.from(JSON.stringify(manifest))),
        annotations: { 'org.opencontainers.image.ref.name': reference.split(':')[1] },
      },
    ],
  };
  writeFileSync(join(target, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
  writeFileSync(join(target, 'index.json'), JSON.stringify(index));
}

async function writeDockerArchive(target, { reference, config, blobs }) {
  const directory = `${target}.d`;
  mkdirSync(directory);
  const remove = undoLater(() => rmSync(directory, { recursive: true }));
  const configName = `${createHash('sha256').update(config).digest('hex')}.json`;
  const names = blobs.map(({ digest }) => `${digest.slice(7)}.tar`);
  blobs.forEach(({ path }, index) => linkSync(path, join(directory, names[index] ?? '')));
  writeFileSync(join(directory, configName), config);
  writeFileSync(
    join(directory, 'manifest.json'),
    JSON.stringify([{ Config: configName, RepoTags: [reference], Layers: names }]),
  );
  await run(['tar', '-C', directory, ...packed(target), ...names, configName, 'manifest.json']);
  await remove();
}

/** Makes a file or directory of the cache under another name first, so that an interrupted run leaves none half made. */
async function made(name, make) {
  const path = join(cache(), name);
  if (existsSync(path)) return path;
  const partial = join(cache(), `partial-${name}`);
  rmSync(partial, { recursive: true, force: true });
  const remove = undoLater(() => rmSync(partial, { recursive: true, force: true }));
  await make(partial);
  renameSync(partial, path);
  await remove();
  return path;
}

async function sha256(path) {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk);
  return `sha256:${hash.digest('hex')}`;
}

/** Reads the files of an image once, so that the first round is no colder than the others. */
export async function warm(/** @type {Image} */ { ociLayout, dockerArchive, layers }) {
  const files = [...layers.flatMap(({ tar, blob }) => [tar, blob]), dockerArchive];
  await run(['sh', '-c', 'cat "$@" > /dev/null && find "$0" -type f -exec cat {} + > /dev/null', ociLayout, ...files]);
}
