/** Pushing to a real registry: what is sent, what is not, and what skopeo and podman find there. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LayerStore } from '@layerstore/store';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DockerRegistry } from '../support/docker-registry.js';
import { makeDockerArchive, sha256, threeLayers, type TestImage } from '../support/image.js';
import { need, run } from '../support/programs.js';
import { hasProgram, isRoot, Scratch } from '../support/scratch.js';
import { ScriptedRegistry, types } from '../support/scripted-registry.js';
import { tarOf } from '../support/tar.js';
import { Uploader } from '../support/upload.js';

const cannot = !isRoot ? 'needs root' : hasProgram('docker-registry') ? undefined : 'docker-registry not installed';

describe.skipIf(cannot !== undefined)(`pushing to docker-registry${cannot === undefined ? '' : ` (${cannot})`}`, () => {
  let scratch: Scratch;
  let registry: DockerRegistry;
  let image: TestImage;
  let store: LayerStore;

  beforeEach(async () => {
    scratch = new Scratch('push');
    registry = await DockerRegistry.start(scratch.file('registry'));
    image = makeDockerArchive(scratch.file('made'), threeLayers, { reference: 'made:1' });
    store = await LayerStore.open({ root: scratch.file('root') });
    await store.images.load({ path: image.path });
  });
  afterEach(async () => {
    await store.close();
    await registry[Symbol.asyncDispose]();
    scratch[Symbol.dispose]();
  });

  const skopeo = (...argv: string[]): string => run('skopeo', '--insecure-policy', ...argv);
  const uploads = (from = 0): string[] =>
    registry
      .requests()
      .slice(from)
      .filter((request) => /^(PUT|PATCH) .*\/blobs\/uploads\//.test(request));

  it.for(['gzip', 'zstd'] as const)('skopeo and podman take what was pushed with %s', async (compression, context) => {
    need(context, 'skopeo', 'podman');
    const reference = `${registry.host}/team/made:${compression}`;
    const pushed = await store.images.push('made:1', reference, { compression });
    expect(pushed.layers.map(({ outcome }) => outcome)).toEqual(['uploaded', 'uploaded', 'uploaded']);
    const inspected = JSON.parse(skopeo('inspect', '--tls-verify=false', `docker://${reference}`)) as {
      Digest: string;
    };
    expect(inspected.Digest).toBe(pushed.digest);
    skopeo('copy', '-q', '--src-tls-verify=false', `docker://${reference}`, `dir:${scratch.file('copied')}`);
    mkdirSync(scratch.file('podman'));
    const storage = [
      '--root',
      scratch.file('podman/root'),
      '--runroot',
      scratch.file('podman/run'),
      '--storage-driver',
      'vfs',
    ];
    const id = run('podman', ...storage, 'pull', '-q', '--tls-verify=false', reference).trim();
    expect(`sha256:${id}`).toBe(image.id);
  });

  it('is pulled again by layerstore with the same image ID', async () => {
    const reference = `${registry.host}/made:1`;
    const pushed = await store.images.push('made:1', reference);
    await using other = await LayerStore.open({ root: scratch.file('other') });
    const pulled = await other.images.pull(reference);
    expect(pulled).toMatchObject({ id: image.id, digest: pushed.digest });
    expect(await other.check({ verify: true })).toMatchObject({ findings: [], leftovers: [] });
  });

  it('sends nothing that is there: not the second time, not to another repository', async () => {
    const reference = `${registry.host}/made:1`;
    const first = await store.images.push('made:1', reference);
    await store.images.tag('made:1', reference);
    const before = registry.requests().length;
    const second = await store.images.push(reference);
    expect(second.layers.map(({ outcome }) => outcome)).toEqual(['present', 'present', 'present']);
    expect(uploads(before)).toEqual([]);
    const third = await store.images.push('made:1', `${registry.host}/elsewhere/made:1`);
    expect(third.layers.map(({ outcome }) => outcome)).toEqual(['mounted', 'mounted', 'mounted']);
    const layers = new Set(first.layers.map(({ digest }) => digest));
    expect(
      uploads(before).filter((request) => [...layers].some((digest) => request.includes(encodeURIComponent(digest)))),
    ).toEqual([]);
    expect([second.digest, third.digest]).toEqual([first.digest, first.digest]);
  });

  it('keeps the manifest of an image that was pulled, of whatever kind', async (context) => {
    need(context, 'skopeo');
    for (const format of ['oci', 'v2s2']) {
      const source = `${registry.host}/${format}:1`;
      skopeo(
        'copy',
        '-q',
        '--dest-tls-verify=false',
        '--format',
        format,
        `docker-archive:${image.path}`,
        `docker://${source}`,
      );
      await using fresh = await LayerStore.open({ root: scratch.file(`root-${format}`) });
      const pulled = await fresh.images.pull(source);
      const pushed = await fresh.images.push(source, `${registry.host}/copy/${format}:2`);
      expect(pushed.digest).toBe(pulled.digest);
    }
  });

  it('sends kept layers as they came to another registry, with the same manifest', async (context) => {
    need(context, 'skopeo');
    const source = `${registry.host}/kept:1`;
    skopeo('copy', '-q', '--dest-tls-verify=false', `docker-archive:${image.path}`, `docker://${source}`);
    await using fresh = await LayerStore.open({ root: scratch.file('root-kept') });
    const pulled = await fresh.images.pull(source, { keepBlobs: true });
    await using other = await DockerRegistry.start(scratch.file('other-registry'));
    const pushed = await fresh.images.push(source, `${other.host}/kept:1`);
    expect(pushed.digest).toBe(pulled.digest);
    expect(pushed.layers.map(({ outcome }) => outcome)).toEqual(['uploaded', 'uploaded', 'uploaded']);
  });

  it('of a committed image sends only the new layer', async () => {
    const reference = `${registry.host}/base:1`;
    await store.images.push('made:1', reference);
    await store.images.tag('made:1', reference);
    await store.containers.create('made:1', { name: 'box' });
    {
      await using view = await store.containers.mount('box', { lifetime: 'process' });
      writeFileSync(join(view.path, 'new'), 'new');
    }
    await store.containers.commit('box', `${registry.host}/derived:1`);
    const pushed = await store.images.push(`${registry.host}/derived:1`);
    expect(pushed.layers.map(({ outcome }) => outcome)).toEqual(['mounted', 'mounted', 'mounted', 'uploaded']);
  });

  it('fetches a foreign layer where its manifest says, and does not put it into the registry', async () => {
    const [foreign, own] = [tarOf({ licensed: 'not to be copied' }), tarOf({ own: 'file' })];
    await using elsewhere = await ScriptedRegistry.start();
    const blob = elsewhere.addImage('holder', [foreign]).layers[0]!;
    const uploader = new Uploader(registry.host, 'foreign');
    const config = {
      architecture: 'amd64',
      os: 'linux',
      rootfs: { type: 'layers', diff_ids: [blob.diffId, `sha256:${sha256(own)}`] },
    };
    const manifest = {
      schemaVersion: 2,
      mediaType: types.manifest,
      config: await uploader.blob(Buffer.from(JSON.stringify(config)), types.config),
      layers: [
        {
          mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
          digest: blob.digest,
          size: blob.bytes.length,
          urls: [`http://${elsewhere.host}/v2/any/blobs/${blob.digest}`],
        },
        await uploader.blob(own, 'application/vnd.oci.image.layer.v1.tar'),
      ],
    };
    const { digest } = await uploader.manifest('1', manifest, types.manifest);
    const source = `${registry.host}/foreign:1`;
    await store.images.pull(source);
    const pushed = await store.images.push(source, `${registry.host}/again:1`);
    expect(pushed).toMatchObject({ digest, layers: [{ outcome: 'foreign' }, { outcome: 'mounted' }] });
  });

  it('refuses an ID without destination and a digest as destination', async () => {
    await expect(store.images.push(image.id)).rejects.toMatchObject({ code: 'ERR_INVALID_REFERENCE' });
    await expect(store.images.push('made:1', `${registry.host}/a@${image.id}`)).rejects.toMatchObject({
      code: 'ERR_INVALID_REFERENCE',
    });
  });
});
