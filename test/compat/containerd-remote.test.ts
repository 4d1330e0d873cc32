/** Layers that the store has are neither fetched nor unpacked: containerd's CRI asks for them by label, the registry's log is the witness. */
import { execFileSync } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { chainIds, parseDigest } from '@layerstore/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CommandLine } from '../support/command.js';
import { Containerd, containerdPrograms, Registry, SnapshotServer, treeFacts } from '../support/containerd.js';
import type { PullImageResponse } from '../support/cri/generated/images_pb.js';
import { pullThroughCri } from '../support/cri-pull.js';
import { makeDockerArchive, threeLayers, type TestImage } from '../support/image.js';
import { hasProgram, isRoot, Scratch } from '../support/scratch.js';

const needed = [...containerdPrograms, 'docker-registry', 'skopeo'];
const available = isRoot && needed.every(hasProgram);

describe.skipIf(!available)(`remote snapshots (needs root, ${needed.join(', ')})`, () => {
  let scratch: Scratch;
  let server: SnapshotServer;
  let containerd: Containerd;
  let registry: Registry;
  let layerstore: CommandLine;
  let whole: TestImage;
  /** Name of its topmost snapshot. */
  let top: string;

  beforeAll(async () => {
    scratch = new Scratch('remote', '/dev/shm');
    server = await new SnapshotServer(scratch).start();
    containerd = await new Containerd(scratch, {
      snapshotters: { layerstore: server.socket },
      cri: 'layerstore',
    }).start();
    registry = await Registry.start(scratch);
    layerstore = new CommandLine(server.root);
    whole = makeDockerArchive(scratch.file('whole'), threeLayers, { reference: 'whole:1', compression: 'gzip' });
    top = chainIds(whole.diffIds.map((id) => parseDigest(id))).at(-1)!;
  }, 120_000);
  afterAll(async () => {
    // What has not been started, because an earlier step failed, cannot be ended: the directory takes what is left with it.
    try {
      await registry[Symbol.asyncDispose]();
      await containerd[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    } finally {
      scratch[Symbol.dispose]();
    }
  });

  const pull = (image: string): Promise<PullImageResponse> => pullThroughCri(containerd.socket, image);
  /** Digests of the compressed layers of an image in the registry, base first; then that of its config. */
  const blobsOf = (reference: string): string[] => {
    const argv = ['--insecure-policy', 'inspect', '--tls-verify=false', '--raw', `docker://${reference}`];
    const manifest = JSON.parse(execFileSync('skopeo', argv, { encoding: 'utf8' })) as {
      layers: { digest: string }[];
      config: { digest: string };
    };
    return [...manifest.layers, manifest.config].map(({ digest }) => digest);
  };
  const fetchedBy = async (work: () => Promise<unknown>): Promise<Set<string>> => {
    const before = registry.fetchedBlobs().length;
    await work();
    return new Set(registry.fetchedBlobs().slice(before));
  };
  /** What the image shows through containerd. */
  const facts = (): string[] => containerd.withView('layerstore', top, scratch.file('facts'), treeFacts, 'k8s.io');

  it('fetches and unpacks what the store does not have', async () => {
    const reference = registry.push(whole.path, 'ordinary:1');
    const fetched = await fetchedBy(() => pull(reference));
    expect(fetched).toEqual(new Set(blobsOf(reference)));
    expect(layerstore.json('snapshots', 'ls')).toHaveLength(3);
    containerd.ctr('--namespace', 'k8s.io', 'images', 'rm', '--sync', reference, ...otherNames(reference));
    expect(layerstore.json('snapshots', 'ls')).toEqual([]);
  });

  it('fetches the config alone when the store has every layer, and the view is the same', async () => {
    layerstore.succeed('load', '-i', whole.path);
    const reference = registry.push(whole.path, 'known:1');
    const blobs = blobsOf(reference);
    const directories = readdirSync(`${server.root}/home`).length;
    const fetched = await fetchedBy(() => pull(reference));
    expect(fetched).toEqual(new Set(blobs.slice(-1)));
    expect(readdirSync(`${server.root}/home`).length).toBe(directories);
    const snapshots = layerstore.json('snapshots', 'ls') as { chainId: string; kind: string; cacheId?: string }[];
    expect(snapshots.map(({ chainId }) => chainId)).toEqual(chainIds(whole.diffIds.map((id) => parseDigest(id))));
    expect(snapshots.every(({ kind, cacheId }) => kind === 'committed' && cacheId === undefined)).toBe(true);
    layerstore.succeed('create', 'whole:1', '--name', 'own');
    const own = layerstore.succeed('mount', 'own').trim();
    expect(facts()).toEqual(treeFacts(own));
    layerstore.succeed('unmount', 'own');
    layerstore.succeed('rm', 'own');
  });

  it('keeps layers that an engine stands on when their image goes from the store, until the engine lets go', () => {
    layerstore.succeed('rmi', 'whole:1');
    layerstore.succeed('prune', '--all');
    expect(layerstore.json('info')).toMatchObject({ images: 0, layers: 3, snapshots: 3 });
    const reference = `${registry.address}/known:1`;
    expect(facts().length).toBeGreaterThan(10);
    containerd.ctr('--namespace', 'k8s.io', 'images', 'rm', '--sync', reference, ...otherNames(reference));
    expect(layerstore.json('info')).toMatchObject({ layers: 3, snapshots: 0 });
    layerstore.succeed('prune');
    expect(layerstore.json('info')).toMatchObject({ layers: 0, snapshots: 0 });
    expect(layerstore.json('check')).toMatchObject({ sound: true, leftovers: [] });
  });

  it('fetches only the layers that are missing, and stacks them on those of the store', async () => {
    layerstore.succeed('load', '-i', lowerLayersOf(whole, 2, 'base:1'));
    const reference = registry.push(whole.path, 'partly:1');
    const [, , third, config] = blobsOf(reference);
    const fetched = await fetchedBy(() => pull(reference));
    expect(fetched).toEqual(new Set([third, config]));
    const snapshots = layerstore.json('snapshots', 'ls') as { chainId?: string }[];
    expect(snapshots.map(({ chainId }) => chainId !== undefined)).toEqual([true, true, false]);
    layerstore.succeed('load', '-i', whole.path);
    layerstore.succeed('create', 'whole:1', '--name', 'compare');
    expect(facts()).toEqual(treeFacts(layerstore.succeed('mount', 'compare').trim()));
    layerstore.succeed('unmount', 'compare');
  });

  it('pulls with ctr, which asks for no layer by label, and unpacks in full', () => {
    const reference = registry.push(whole.path, 'plain:1');
    containerd.ctr('images', 'pull', '--plain-http', '--snapshotter', 'layerstore', reference);
    const own = (layerstore.json('snapshots', 'ls') as { key: string; chainId?: string }[]).filter(({ key }) =>
      key.startsWith('default/'),
    );
    expect(own.map(({ chainId }) => chainId)).toEqual([undefined, undefined, undefined]);
    expect(layerstore.json('check', '--verify')).toMatchObject({ sound: true });
  });

  /** CRI gives an image names by its digests besides. */
  function otherNames(reference: string): string[] {
    const names = containerd.ctr('--namespace', 'k8s.io', 'images', 'ls', '-q').trim().split('\n');
    return names.filter((name) => name !== reference && name !== '');
  }
});

/** A docker-archive of the first `count` layers of an image, with the very same layers. */
function lowerLayersOf(image: TestImage, count: number, reference: string): string {
  const work = join(dirname(image.path), 'archive');
  const config = {
    architecture: 'amd64',
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: image.diffIds.slice(0, count) },
  };
  writeFileSync(join(work, 'lower.json'), JSON.stringify(config));
  const names = image.diffIds.slice(0, count).map((_, index) => `layer-${index}.tar`);
  writeFileSync(
    join(work, 'manifest.json'),
    JSON.stringify([{ Config: 'lower.json', RepoTags: [reference], Layers: names }]),
  );
  const path = join(dirname(image.path), 'lower.tar');
  execFileSync('tar', ['-C', work, '-cf', path, 'manifest.json', 'lower.json', ...names]);
  return path;
}
