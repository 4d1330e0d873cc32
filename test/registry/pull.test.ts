/** Pulling from a real registry: every form of an image that skopeo and plain requests put there. */
import { execFileSync } from 'node:child_process';
import { gzipSync } from 'node:zlib';
import type { Progress } from '@layerstore/core';
import { inspectRemote, LayerStore } from '@layerstore/store';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DockerRegistry } from '../support/docker-registry.js';
import { makeDockerArchive, sha256, threeLayers, type TestImage } from '../support/image.js';
import { need, run } from '../support/programs.js';
import { hasProgram, isRoot, Scratch } from '../support/scratch.js';
import { types } from '../support/scripted-registry.js';
import { tarOf } from '../support/tar.js';
import { Uploader } from '../support/upload.js';

const cannot = !isRoot ? 'needs root' : hasProgram('docker-registry') ? undefined : 'docker-registry not installed';

describe.skipIf(cannot !== undefined)(
  `pulling from docker-registry${cannot === undefined ? '' : ` (${cannot})`}`,
  () => {
    let scratch: Scratch;
    let registry: DockerRegistry;
    let image: TestImage;

    beforeAll(async () => {
      scratch = new Scratch('pull');
      registry = await DockerRegistry.start(scratch.file('registry'));
      image = makeDockerArchive(scratch.file('made'), threeLayers, { reference: 'docker.io/library/made:1' });
    });
    afterAll(async () => {
      await registry[Symbol.asyncDispose]();
      scratch[Symbol.dispose]();
    });

    const skopeo = (...argv: string[]): string => run('skopeo', '--insecure-policy', ...argv);
    const put = (name: string, ...options: string[]): string => {
      const reference = `${registry.host}/${name}`;
      skopeo(
        'copy',
        '-q',
        '--dest-tls-verify=false',
        ...options,
        `docker-archive:${image.path}`,
        `docker://${reference}`,
      );
      return reference;
    };
    const openStore = (name: string): Promise<LayerStore> => LayerStore.open({ root: scratch.file(`root-${name}`) });

    it.for([
      ['oci', 'gzip'],
      ['oci', 'zstd'],
      ['v2s2', 'gzip'],
    ] as const)(
      'takes a manifest of the kind %s with %s layers, digests equal to those of skopeo',
      async ([format, compression], context) => {
        need(context, 'skopeo');
        const name = `${format}-${compression}`;
        const reference = put(`${name}:1`, '--format', format, '--dest-compress-format', compression);
        await using store = await openStore(name);
        const pulled = await store.images.pull(reference);
        const inspected = JSON.parse(skopeo('inspect', '--tls-verify=false', `docker://${reference}`)) as {
          Digest: string;
        };
        expect(pulled).toMatchObject({ digest: inspected.Digest, references: [reference] });
        expect(pulled.layers.map(({ diffId }) => diffId)).toEqual(image.diffIds);
        expect(await store.check({ verify: true })).toMatchObject({ findings: [], leftovers: [] });
        await using view = await store.workspaces.create(reference);
        expect(run('cat', `${view.path}/etc/hostname`)).toBe('second\n');
      },
    );

    it('takes it by digest, and finds it under that name', async (context) => {
      need(context, 'skopeo');
      const reference = put('by-digest:1');
      await using store = await openStore('by-digest');
      const { digest } = await store.images.pull(reference);
      const pinned = `${registry.host}/by-digest@${digest}`;
      const again = await store.images.pull(pinned);
      expect(again.layers.every(({ present }) => present)).toBe(true);
      expect((await store.images.inspect(pinned)).references).toEqual([reference, pinned]);
    });

    it('fetches no layer that the store has, whichever its compression', async (context) => {
      need(context, 'skopeo');
      const [gzip, zstd] = [
        put('twice:gzip', '--format', 'oci'),
        put('twice:zstd', '--format', 'oci', '--dest-compress-format', 'zstd'),
      ];
      await using store = await openStore('twice');
      await store.images.pull(gzip);
      const before = registry.requests().length;
      const events: Progress[] = [];
      const again = await store.images.pull(zstd, { onProgress: (event) => events.push(event) });
      expect(again.layers.map(({ present }) => present)).toEqual([true, true, true]);
      const asked = registry.requests().slice(before);
      expect(asked.filter((request) => request.includes('/blobs/'))).toEqual([]);
      expect(events.filter((event) => event.task.startsWith('layer:'))).toMatchObject(
        [1, 2, 3].map(() => ({ kind: 'end', outcome: 'present' })),
      );
    });

    it('chooses by platform from an index, and names what there is when nothing fits', async () => {
      const uploader = new Uploader(registry.host, 'many');
      const manifests = [];
      for (const [architecture, variant] of [['amd64'], ['arm64', 'v8'], ['riscv64']] as const) {
        const entry = await uploadImage(uploader, { architecture, layers: [tarOf({ arch: architecture })] });
        manifests.push({
          ...entry,
          platform: { os: 'linux', architecture, ...(variant === undefined ? {} : { variant }) },
        });
      }
      const attestation = { ...manifests[0]!, platform: { os: 'unknown', architecture: 'unknown' } };
      const inner = await uploader.manifest(
        undefined,
        { schemaVersion: 2, manifests: manifests.slice(2) },
        types.index,
      );
      const index = {
        schemaVersion: 2,
        mediaType: types.index,
        manifests: [attestation, ...manifests.slice(0, 2), inner],
      };
      const { digest } = await uploader.manifest('1', index, types.index);
      await using store = await openStore('many');
      const reference = `${registry.host}/many:1`;
      for (const architecture of ['amd64', 'arm64', 'riscv64']) {
        const pulled = await store.images.pull(reference, { platform: `linux/${architecture}` });
        expect(pulled.digest).toBe(digest);
        expect(await store.images.inspect(pulled.id)).toMatchObject({ architecture });
      }
      await expect(store.images.pull(reference, { platform: 'linux/s390x' })).rejects.toMatchObject({
        code: 'ERR_NO_PLATFORM',
        message: expect.stringContaining('there is linux/amd64, linux/arm64, linux/riscv64') as string,
      });
    });

    it('takes plain layers, the same layer twice, steps without a layer, and an image of no layer at all', async () => {
      const uploader = new Uploader(registry.host, 'odd');
      const layer = tarOf({ file: 'content' });
      const history = [{ created_by: 'one' }, { created_by: 'nothing', empty_layer: true }, { created_by: 'two' }];
      await uploadImage(uploader, { tag: 'plain', layers: [layer, layer], compression: 'none', config: { history } });
      await uploadImage(uploader, { tag: 'empty', layers: [] });
      await using store = await openStore('odd');
      const plain = await store.images.pull(`${registry.host}/odd:plain`);
      expect(plain.layers.map(({ diffId }) => diffId)).toEqual([`sha256:${sha256(layer)}`, `sha256:${sha256(layer)}`]);
      expect(await store.images.history(plain.id)).toMatchObject([{}, { emptyLayer: true }, {}]);
      expect((await store.images.pull(`${registry.host}/odd:empty`)).layers).toEqual([]);
      expect(await store.check({ verify: true })).toMatchObject({ findings: [], leftovers: [] });
    });

    it('refuses an artifact and says what it is; inspect shows it and what refers to an image', async () => {
      const uploader = new Uploader(registry.host, 'signed');
      const subject = await uploadImage(uploader, { tag: '1', layers: [tarOf({ a: 'b' })] });
      const empty = await uploader.blob(Buffer.from('{}'), 'application/vnd.oci.empty.v1+json');
      const artifact = {
        schemaVersion: 2,
        mediaType: types.manifest,
        artifactType: 'application/vnd.example.sbom',
        config: empty,
        layers: [empty],
        subject,
        annotations: { by: 'somebody' },
      };
      const stored = await uploader.manifest('sbom', artifact, types.manifest);
      const list = {
        schemaVersion: 2,
        mediaType: types.index,
        manifests: [{ ...stored, artifactType: artifact.artifactType }],
      };
      await uploader.manifest(subject.digest.replace(':', '-'), list, types.index);
      await using store = await openStore('signed');
      await expect(store.images.pull(`${registry.host}/signed:sbom`)).rejects.toMatchObject({
        code: 'ERR_UNSUPPORTED_FORMAT',
        message: expect.stringContaining('application/vnd.example.sbom') as string,
      });
      expect(await inspectRemote(`${registry.host}/signed:sbom`)).toMatchObject({
        kind: 'artifact',
        artifact: { artifactType: artifact.artifactType, blobs: [{ digest: empty.digest }] },
        annotations: { by: 'somebody' },
      });
      expect(await inspectRemote(`${registry.host}/signed:1`)).toMatchObject({
        kind: 'image',
        digest: subject.digest,
        image: { platform: 'linux/amd64', layers: [{ size: expect.any(Number) as number }] },
        referrers: [{ digest: stored.digest, artifactType: artifact.artifactType }],
      });
    });

    it('keeps the compressed layers when told to: what is saved then has the original manifest', async (context) => {
      need(context, 'skopeo');
      const reference = put('kept:1', '--format', 'oci');
      await using store = await openStore('kept');
      const { digest } = await store.images.pull(reference, { keepBlobs: true });
      const layout = scratch.file('kept-layout');
      await store.images.save([reference], { path: layout }, { format: 'oci-dir', compression: 'gzip' });
      expect(JSON.parse(skopeo('inspect', `oci:${layout}:1`))).toMatchObject({ Digest: digest });
      expect(await store.check({ verify: true })).toMatchObject({ findings: [], leftovers: [] });
    });

    it('works with the driver vfs, whose layers are unpacked one after the other', async (context) => {
      need(context, 'skopeo');
      const reference = put('vfs:1');
      await using store = await LayerStore.open({ root: scratch.file('root-vfs'), driver: 'vfs' });
      const pulled = await store.images.pull(reference);
      expect(pulled.layers.map(({ diffId }) => diffId)).toEqual(image.diffIds);
      expect(await store.check({ verify: true })).toMatchObject({ findings: [], leftovers: [] });
    });

    it('names reference, registry’s words and next step when there is no such image', async () => {
      await using store = await openStore('missing');
      await expect(store.images.pull(`${registry.host}/nothing:1`)).rejects.toMatchObject({
        code: 'ERR_IMAGE_NOT_FOUND',
        message: `${registry.host}/nothing:1: the registry says: manifest unknown (MANIFEST_UNKNOWN)`,
        hint: expect.stringContaining('skopeo list-tags') as string,
      });
    });

    it('two processes that pull the same image unpack it once', async (context) => {
      need(context, 'skopeo');
      const reference = put('shared:1');
      const root = scratch.file('root-shared');
      await using one = await LayerStore.open({ root });
      await using two = await LayerStore.open({ root });
      const pulls = await Promise.all([one.images.pull(reference), two.images.pull(reference)]);
      const present = pulls.flatMap(({ layers }) => layers.map((layer) => layer.present));
      expect(present.filter((isPresent) => !isPresent)).toHaveLength(3);
      expect(await one.check({ verify: true })).toMatchObject({ findings: [], leftovers: [] });
    });
  },
);

interface UploadedImage {
  readonly tag?: string;
  readonly architecture?: string;
  readonly layers: readonly Buffer[];
  readonly compression?: 'none' | 'gzip' | 'zstd';
  readonly config?: object;
}

async function uploadImage(uploader: Uploader, image: UploadedImage) {
  const { compression = 'gzip', architecture = 'amd64' } = image;
  const layers = [];
  for (const tar of image.layers) {
    const bytes =
      compression === 'none'
        ? tar
        : compression === 'gzip'
          ? gzipSync(tar)
          : execFileSync('zstd', ['-q', '-c'], { input: tar });
    layers.push(
      await uploader.blob(bytes, types.layer.replace('+gzip', compression === 'none' ? '' : `+${compression}`)),
    );
  }
  const config = {
    architecture,
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: image.layers.map((tar) => `sha256:${sha256(tar)}`) },
    ...image.config,
  };
  const manifest = {
    schemaVersion: 2,
    mediaType: types.manifest,
    config: await uploader.blob(Buffer.from(JSON.stringify(config)), types.config),
    layers,
  };
  return uploader.manifest(image.tag, manifest, types.manifest);
}
