/** An aufs home that a kernel's aufs wrote, with all that it does to a branch: shown, compared and left alone. */
import { rmSync } from 'node:fs';
import { ArchiveWorkers } from '@layerstore/archive';
import { parseLayerId, type LayerId } from '@layerstore/core';
import { layerDiffs, LayerViews, openAufs, type AufsEngine } from '@layerstore/drivers';
import { Mounter, type MounterOptions } from '@layerstore/linux';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
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
  readonly order: readonly string[];
  readonly layers: Readonly<
    Record<
      string,
      {
        readonly parents: readonly string[];
        readonly entries: readonly GoldenEntry[];
        readonly changesFromParent?: {
          readonly added: readonly string[];
          readonly deleted: readonly string[];
          readonly modified: readonly string[];
        };
      }
    >
  >;
}

const manifest = readManifest('aufs-store') as Manifest;
const ids = manifest.order.map((id) => parseLayerId(id));

let scratch: Scratch;
let workers: ArchiveWorkers;
const states = new Set<string>();
beforeAll(() => {
  workers = new ArchiveWorkers({ threads: 1 });
});
afterAll(() => workers[Symbol.asyncDispose]());
beforeEach(() => {
  scratch = new Scratch('aufs-store');
  unpackFixture('aufs-store', scratch.file('aufs'));
});
afterEach(() => {
  scratch[Symbol.dispose]();
  for (const state of states) rmSync(state, { recursive: true, force: true });
});

interface Way {
  readonly title: string;
  readonly engine: AufsEngine;
  readonly method?: MounterOptions['method'];
  /** Leaves out what this way cannot show. */
  readonly view: (tree: GoldenTree) => GoldenTree;
}

const everything = (tree: GoldenTree): GoldenTree => tree;

/** fuse-overlayfs counts the names that it shows, and keeps attributes of overlays to itself. */
const withoutLinkCounts = (tree: GoldenTree): GoldenTree =>
  new Map(
    [...tree].map(([path, entry]) => {
      const shown = Object.entries(entry.xattrs ?? {}).filter(([name]) => !name.startsWith('trusted.overlay.'));
      const rest = without(entry, 'nlink', 'xattrs');
      return [path, shown.length === 0 ? rest : { ...rest, xattrs: Object.fromEntries(shown) }];
    }),
  );

const ways: readonly Way[] = [
  { title: 'shadow layers by fsopen', engine: 'overlay', method: 'fsopen', view: everything },
  { title: 'shadow layers by mount(2)', engine: 'overlay', method: 'mount', view: everything },
  { title: 'fuse-overlayfs', engine: 'fuse-overlayfs', view: withoutLinkCounts },
];

/** To every overlay a character device 0:0 is a whiteout, whatever layer it is in. */
function isShownByUnions(entry: GoldenEntry): boolean {
  return entry.rdev !== '0:0';
}

function layerOf(id: LayerId): Manifest['layers'][string] {
  const layer = manifest.layers[id];
  if (layer === undefined) throw new Error(`the manifest has no layer ${id}`);
  return layer;
}

const canRun = isRoot && hasProgram('fuse-overlayfs');

describe.skipIf(!canRun).each(ways)('a home of a kernel aufs, by $title (needs root and fuse-overlayfs)', (way) => {
  const open = async (access: 'read-write' | 'read-only') => {
    const mounter = new Mounter({ method: way.method ?? 'auto' });
    const driver = await openAufs(scratch.file('aufs'), { mounter, workers, access, engine: way.engine });
    await driver.cleanup();
    if (access === 'read-only') states.add(driver.state);
    return { driver, mounter, views: new LayerViews(driver, mounter) };
  };

  test.each(['read-only', 'read-write'] as const)('shows every layer as that kernel did, opened %s', async (access) => {
    const { driver, views } = await open(access);
    expect((await driver.list()).sort()).toEqual([...ids].sort());
    for (const id of ids) {
      await using view = await views.lease(id, { readOnly: access === 'read-only' });
      const { entries, parents } = layerOf(id);
      const shown = goldenTree(view.path, entries);
      // A base layer is shown by itself, not by a union.
      const expected = parents.length === 0 ? entries : entries.filter(isShownByUnions);
      expect(differences(way.view(shown), way.view(goldenEntries(expected))), id).toEqual([]);
    }
  });
});

describe.skipIf(!isRoot)('a home of a kernel aufs (needs root)', () => {
  test('tells of each layer what it changes, as an engine lists it', async () => {
    const mounter = new Mounter();
    const driver = await openAufs(scratch.file('aufs'), { mounter, workers });
    const diffs = layerDiffs(driver, { workers, mounter });
    for (const id of ids.slice(1)) {
      const parent = await driver.parent(id);
      expect(parent).toBe(layerOf(id).parents[0]);
      const changes = await diffs.changes(id, parent);
      const listed = changes.map(({ kind, path }) => `${kind} ${path.toString()}`).sort();
      expect(listed).toEqual(projection(id).sort());
    }
  });
});

/**
 * What an engine lists of a layer's changes: no root, a deleted tree once, a directory for its attributes or for what it
 * holds but not for its time.
 */
function projection(id: LayerId): string[] {
  const { entries, parents, changesFromParent } = layerOf(id);
  const before = byPath(layerOf(parseLayerId(parents[0] ?? '')).entries);
  const after = byPath(entries);
  const { added = [], deleted = [], modified = [] } = changesFromParent ?? {};
  const kinds = new Map<string, string>();
  for (const path of added) kinds.set(path, 'add');
  for (const path of deleted) {
    if (!deleted.includes(parentOf(path)) && after.get(parentOf(path))?.type === 'dir') kinds.set(path, 'delete');
  }
  // aufs shows what an opaque directory over another one should hide; here it is gone.
  for (const { path, pastOpaque } of entries) if (pastOpaque === true && before.has(path)) kinds.set(path, 'delete');
  for (const path of modified) {
    if (attributes(before.get(path)) !== attributes(after.get(path))) kinds.set(path, 'modify');
  }
  for (const path of [...kinds.keys()]) {
    for (let parent = parentOf(path); parent !== '/'; parent = parentOf(parent)) {
      if (!kinds.has(parent)) kinds.set(parent, 'modify');
    }
  }
  kinds.delete('/');
  return [...kinds].map(([path, kind]) => `${kind} ${path}`);
}

function byPath(entries: readonly GoldenEntry[]): Map<string, GoldenEntry> {
  return new Map(entries.filter((entry) => entry.pastOpaque !== true).map((entry) => [entry.path, entry]));
}

function attributes(entry: GoldenEntry | undefined): string {
  if (entry === undefined) return '';
  return JSON.stringify(without(entry, 'path', 'nlink', 'sameInodeAs', ...(entry.type === 'dir' ? ['mtimeNs'] : [])));
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/';
}
