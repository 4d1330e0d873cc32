// The programs that load an image, each as it is called by its users, from the form of the image that suits it best.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { measureWith } from './daemon.mjs';
import { docker, dockerIsInstalled, startDockerd } from './dockerd.mjs';
import { isInstalled, measure, run } from './measure.mjs';

/** @typedef {import('./inputs.mjs').Image} Image */
/** @typedef {import('./measure.mjs').Sample} Sample */

/**
 * @typedef {object} Peer
 * @property {string} name
 * @property {boolean} durable whether the content is on disk when the program ends
 * @property {() => boolean} isThere
 * @property {readonly string[]} [cannot] compressions that it does not read
 * @property {(image: Image, directory: string) => Promise<Sample>} load into an empty directory
 */

/** How layerstore is started, from this clone. */
export const layerstore = [
  process.execPath,
  fileURLToPath(new URL('../packages/cli/dist/cli/main.js', import.meta.url)),
];

const unpack = { plain: 'tar -x', gzip: 'tar -xz', zstd: 'tar --zstd -x' };
const decompress = { plain: 'cat', gzip: 'igzip -dc', zstd: 'zstd -qdc' };

/** @type {readonly Peer[]} */
export const loaders = [
  {
    name: 'layerstore load, OCI layout',
    durable: true,
    isThere: () => true,
    load: (image, directory) => loadWithLayerstore(image.ociLayout, directory),
  },
  {
    name: 'layerstore load, docker-archive',
    durable: true,
    isThere: () => true,
    load: (image, directory) => loadWithLayerstore(image.dockerArchive, directory),
  },
  {
    name: 'umoci unpack',
    durable: false,
    isThere: () => isInstalled('umoci'),
    cannot: ['zstd'],
    load: (image, directory) =>
      measure(['umoci', 'unpack', '--image', `${image.ociLayout}:latest`, join(directory, 'bundle')]),
  },
  {
    name: 'skopeo copy to containers-storage',
    durable: false,
    isThere: () => isInstalled('skopeo'),
    load: (image, directory) =>
      measure(
        [
          'skopeo',
          'copy',
          '--quiet',
          '--insecure-policy',
          `oci:${image.ociLayout}:latest`,
          `containers-storage:[overlay@${directory}/storage+${directory}/run]localhost/bench:latest`,
        ],
        {
          env: containersEnvironment(directory),
        },
      ),
  },
  {
    name: 'docker load',
    durable: false,
    isThere: dockerIsInstalled,
    cannot: ['zstd'],
    load: loadWithDocker,
  },
  {
    name: 'tar -x && sync -f',
    durable: true,
    isThere: () => isInstalled('tar'),
    load: (image, directory) =>
      measure([
        'sh',
        '-c',
        `for layer; do ${unpack[image.compression]}f "$layer" -C "$0" || exit; done; sync -f "$0"`,
        directory,
        ...image.layers.map(({ blob }) => blob),
      ]),
  },
];

/**
 * The least work in C: the fastest decompressor, GNU tar, and the two digests by OpenSSL, which uses the processor's SHA
 * instructions as Node does. Only its CPU time is compared: the steps run one after the other.
 * @type {Peer}
 */
export const floor = {
  name: 'igzip | tar -x, two sha256',
  durable: false,
  isThere: () => isInstalled('igzip') && isInstalled('openssl') && isInstalled('zstd'),
  load: (image, directory) => {
    const steps = image.layers.map(
      ({ tar, blob }) =>
        `${decompress[image.compression]} '${blob}' | tar -x -C "$0" && openssl dgst -sha256 ${tar === blob ? '' : `'${blob}'`} '${tar}'`,
    );
    return measure(['sh', '-c', steps.join(' && '), directory]);
  },
};

/**
 * Settings of buildah, podman and skopeo that take nothing from the machine.
 * @param {string} directory
 */
export function containersEnvironment(directory) {
  const configuration = join(directory, 'storage.conf');
  writeFileSync(
    configuration,
    `[storage]\ndriver = "overlay"\ngraphroot = "${directory}/storage"\nrunroot = "${directory}/run"\n`,
  );
  return { ...process.env, CONTAINERS_STORAGE_CONF: configuration };
}

function loadWithLayerstore(source, directory) {
  return measure([...layerstore, '--root', join(directory, 'root'), '--progress', 'none', 'load', '-i', source]);
}

async function loadWithDocker(image, directory) {
  const place = join(directory, 'docker');
  mkdirSync(place);
  const daemon = await startDockerd(place);
  return measureWith(daemon, [docker, '--host', daemon.socket, 'load', '--quiet', '--input', image.dockerArchive]);
}

/** What the figures depend on, by program. */
export async function versions() {
  const commands = {
    node: [process.execPath, '--version'],
    layerstore: [...layerstore, 'version'],
    umoci: ['umoci', '--version'],
    skopeo: ['skopeo', '--version'],
    buildah: ['buildah', '--version'],
    podman: ['podman', '--version'],
    'fuse-overlayfs': ['fuse-overlayfs', '--version'],
    containerd: ['containerd', '--version'],
    docker: [docker, '--version'],
    tar: ['tar', '--version'],
    igzip: ['igzip', '--version'],
    kernel: ['uname', '-r'],
  };
  const found = {};
  for (const [name, argv] of Object.entries(commands)) {
    if (isInstalled(argv[0])) found[name] = (await run(argv)).split('\n')[0];
  }
  return found;
}
