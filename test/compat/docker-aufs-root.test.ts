/** The aufs home of a data root that dockerd 20.10 wrote on a kernel with aufs. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { ArchiveWorkers, joinTarSplit } from '@layerstore/archive';
import { parseLayerId } from '@layerstore/core';
import { LayerViews, layerFiles, openAufs, type AufsEngine } from '@layerstore/drivers';
import { Mounter } from '@layerstore/linux';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  differences,
  goldenEntries,
  goldenTree,
  readManifest,
  unpackFixture,
  without,
  type GoldenEntry,
  type GoldenTree,
} from '../support/golden-tree.js';
import { hasProgram, isRoot, Scratch } from '../support/scratch.js';

interface Manifest {
  readonly images: Readonly<
    Record<
      string,
      {
        readonly inspect: { readonly RootFS: { readonly Layers: readonly string[] } };
        readonly tree?: readonly GoldenEntry[];
      }
    >
  >;
  readonly layers: Readonly<Record<string, { readonly size: number }>>;
  readonly containers: Readonly<
    Record<string, { readonly inspect: { readonly Id: string }; readonly tree: readonly GoldenEntry[] }>
  >;
}

const manifest = readManifest('docker-aufs-root') as Manifest;
const canRun = isRoot && hasProgram('fuse-overlayfs');

describe.skipIf(!canRun)('the aufs home of a real dockerd (needs root and fuse-overlayfs)', () => {
  let scratch: Scratch;
  let workers: ArchiveWorkers;
  const states = new Set<string>();
  beforeAll(() => {
    scratch = new Scratch('docker-aufs-root');
    unpackFixture('docker-aufs-root', scratch.path);
    workers = new ArchiveWorkers({ threads: 1 });
  });
  afterAll(async () => {
    await workers[Symbol.asyncDispose]();
    scratch[Symbol.dispose]();
    for (const state of states) rmSync(state, { recursive: true, force: true });
  });

  const open = async (access: 'read-only' | 'read-write', engine: AufsEngine) => {
    const mounter = new Mounter();
    const driver = await openAufs(scratch.file('docker', 'aufs'), { mounter, workers, access, engine });
    await driver.cleanup();
    if (access === 'read-only') states.add(driver.state);
    return { driver, views: new LayerViews(driver, mounter) };
  };
  const record = (...names: string[]): string =>
    readFileSync(scratch.file('docker', 'image', 'aufs', 'layerdb', ...names), 'utf8').trim();

  /** The layers that dockerd knows, by chain ID. */
  const layers = () =>
    readdirSync(scratch.file('docker', 'image', 'aufs', 'layerdb', 'sha256')).map((name) => ({
      id: parseLayerId(record('sha256', name, 'cache-id')),
      diffId: record('sha256', name, 'diff'),
      tarSplit: scratch.file('docker', 'image', 'aufs', 'layerdb', 'sha256', name, 'tar-split.json.gz'),
      chainId: `sha256:${name}`,
    }));

  const topLayers = (): Map<string, readonly GoldenEntry[]> => {
    const trees = new Map<string, readonly GoldenEntry[]>();
    const ids = new Map(layers().map(({ chainId, id }) => [chainId, id]));
    for (const { inspect, tree } of Object.values(manifest.images)) {
      const id = ids.get(chainIdOf(inspect.RootFS.Layers));
      if (tree !== undefined && id !== undefined) trees.set(id, tree);
    }
    for (const { inspect, tree } of Object.values(manifest.containers)) {
      trees.set(record('mounts', inspect.Id, 'mount-id'), tree);
    }
    return trees;
  };

  test.each([
    ['read-only', 'overlay'],
    ['read-only', 'fuse-overlayfs'],
    ['read-write', 'overlay'],
  ] as const)('shows the trees of all images and containers, opened %s, by %s', async (access, engine) => {
    const before = listing(scratch.file('docker', 'aufs'));
    const { driver, views } = await open(access, engine);
    expect((await driver.list()).length).toBe(readdirSync(scratch.file('docker', 'aufs', 'layers')).length);
    const trees = topLayers();
    expect(trees.size).toBe(11);
    for (const [id, tree] of trees) {
      await using view = await views.lease(parseLayerId(id));
      const shown = goldenTree(view.path, tree);
      const compared = (entries: GoldenTree): GoldenTree =>
        engine === 'overlay' ? entries : new Map([...entries].map(([path, entry]) => [path, without(entry, 'nlink')]));
      expect(differences(compared(shown), compared(goldenEntries(tree))), id).toEqual([]);
    }
    expect(listing(scratch.file('docker', 'aufs')), 'the home is left as it was').toEqual(before);
  });

  test('has in every layer the files of its archive: joined with the tar-split record they have its diff ID', async () => {
    const { driver } = await open('read-only', 'overlay');
    const known = layers();
    expect(new Set(known.map(({ diffId }) => diffId))).toEqual(new Set(Object.keys(manifest.layers)));
    for (const { id, diffId, tarSplit } of known) {
      using files = await layerFiles(driver, id);
      const hash = createHash('sha256');
      let size = 0;
      for (const chunk of joinTarSplit(tarSplit, files.open)) {
        hash.update(chunk);
        size += chunk.length;
      }
      expect(`sha256:${hash.digest('hex')}`).toBe(diffId);
      expect(size).toBe(manifest.layers[diffId]?.size);
    }
  });
});

function chainIdOf(diffIds: readonly string[]): string {
  return diffIds.reduce((chain, diffId) =>
    chain === '' ? diffId : `sha256:${createHash('sha256').update(`${chain} ${diffId}`).digest('hex')}`,
  );
}

/** Names of the home, without what is layerstore's own. */
function listing(home: string): string[] {
  return readdirSync(home, { recursive: true, encoding: 'latin1' })
    .filter((path) => !path.startsWith('.layerstore'))
    .sort();
}
