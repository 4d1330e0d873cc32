/** Laws of changes and diffs, on random trees and through real overlay mounts. */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { applyLayer } from '../apply/apply-layer.js';
import { settleDeferred } from '../apply/settle-deferred.js';
import { listTree } from '../apply/testing/tree-listing.js';
import type { ByteSource } from '../byte-source.js';
import type { Dialect, DiffSource, LayerTree } from '../layer-tree.js';
import { copyTree } from '../tree/copy.js';
import { editedLayer, withView } from '../tree/testing/overlay-view.js';
import { randomEdits } from '../tree/testing/random-edits.js';
import { diffSize, findChanges } from './changes.js';
import { writeDiff, writeTree } from './write.js';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'layerstore-diff-'));
});

afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

type Listing = Readonly<Record<string, string>>;

const overlayXattrs = /^(trusted|user)\.overlay\./;

/** What a layer can carry: sockets are left out. */
function carried(listing: Listing): Listing {
  return Object.fromEntries(Object.entries(listing).filter(([, line]) => !line.startsWith('unknown ')));
}

/**
 * A base to start from. Sockets in it would be a matter of taste: no layer brings them, but a program may have made
 * them.
 */
function makeBase(path: string, seed: number, steps: number): void {
  mkdirSync(path);
  randomEdits(path, seed, steps);
  execFileSync('find', [path, '-type', 's', '-delete']);
}

function list(path: string): Listing {
  return carried(listTree(path, { withoutXattrs: overlayXattrs }));
}

function collect(source: ByteSource): Buffer {
  const parts: Buffer[] = [];
  for (const chunk of source) parts.push(Buffer.from(chunk));
  return Buffer.concat(parts);
}

function applied(tar: Buffer, path: string, dialect: Dialect, lowers: readonly LayerTree[]): LayerTree {
  mkdirSync(path, { recursive: true });
  const tree: LayerTree = { path, dialect };
  settleDeferred(applyLayer([tar], { tree }).deferred, tree, lowers);
  return tree;
}

/** The view of a stack as a tree of its own, made by copying it. */
function flattened(trees: readonly LayerTree[], run: string, name: string): LayerTree {
  const path = join(run, name);
  withView(trees, join(run, `${name}-view`), (view) => copyTree(view, path));
  return { path, dialect: 'complete' };
}

function property(numRuns: number, check: (run: string, seed: number, steps: number) => void): void {
  fc.assert(
    fc.property(fc.nat(), fc.integer({ min: 0, max: 30 }), (seed, steps) => {
      const run = mkdtempSync(join(directory, 'run-'));
      check(run, seed, steps);
      rmSync(run, { recursive: true });
    }),
    { numRuns },
  );
}

/** A base layer and what edits through an overlay left in an upper. */
function editedStack(
  run: string,
  seed: number,
  steps: number,
): { source: DiffSource; before: Listing; after: Listing } {
  const base: LayerTree = { path: join(run, 'base'), dialect: 'overlay' };
  makeBase(base.path, seed, 25);
  const middle = editedLayer(run, 'middle', [base], (path) => {
    randomEdits(path, seed + 1, 10);
    execFileSync('find', [path, '-type', 's', '-delete']);
  });
  const lowers = [middle, base];
  let after: Listing = {};
  const upper = editedLayer(run, 'upper', lowers, (path) => {
    randomEdits(path, seed + 2, steps);
    after = list(path);
  });
  const before = withView(lowers, join(run, 'before'), list);
  return { source: { upper, lowers }, before, after };
}

describe.skipIf(process.getuid?.() !== 0)('diffs of overlay uppers (needs root: mounts overlays)', () => {
  it('applied over the same lowers give the view that was edited', () => {
    property(12, (run, seed, steps) => {
      const { source, after } = editedStack(run, seed, steps);
      const tar = collect(writeDiff(source));
      const layer = applied(tar, join(run, 'applied'), 'overlay', source.lowers);
      expectSameView(withView([layer, ...source.lowers], join(run, 'view'), list), after);
    });
  });

  it('applied to a copy of the lower view give the view that was edited', () => {
    property(12, (run, seed, steps) => {
      const { source, after } = editedStack(run, seed, steps);
      const complete = flattened(source.lowers, run, 'complete');
      applied(collect(writeDiff(source)), complete.path, 'complete', []);
      expect(withoutLinks(list(complete.path))).toEqual(withoutLinks(after));
    });
  });

  it('are the same bytes each time, and survive the aufs form', () => {
    property(6, (run, seed, steps) => {
      const { source } = editedStack(run, seed, steps);
      const tar = collect(writeDiff(source));
      expect(collect(writeDiff(source)).equals(tar)).toBe(true);
      const aufs = applied(tar, join(run, 'aufs'), 'aufs', source.lowers);
      expect(collect(writeDiff({ upper: aufs, lowers: source.lowers })).equals(tar)).toBe(true);
    });
  });

  it('are empty after edits that leave everything as it was', () => {
    property(6, (run, seed) => {
      const base: LayerTree = { path: join(run, 'base'), dialect: 'overlay' };
      makeBase(base.path, seed, 30);
      const upper = editedLayer(run, 'upper', [base], (path) => {
        // Opening for writing copies a file up, with the directories above it.
        const before = Object.entries(list(path));
        for (const [name, line] of before) {
          if (line.startsWith('file')) closeSync(openSync(Buffer.from(`${path}/${name}`, 'latin1'), 'r+'));
        }
      });
      expect(collect(writeDiff({ upper, lowers: [base] })).equals(Buffer.alloc(1024))).toBe(true);
      expect([...findChanges({ upper, lowers: [base] })]).toEqual([]);
      expect(diffSize({ upper, lowers: [base] })).toBe(0);
    });
  });

  it('list as changes what differs between the two views', () => {
    property(12, (run, seed, steps) => {
      const { source, before, after } = editedStack(run, seed, steps);
      expect(changesOf(source)).toEqual(modelChanges(before, after));
    });
  });

  it('have the size of the content that the archive holds', () => {
    property(6, (run, seed, steps) => {
      const { source } = editedStack(run, seed, steps);
      const tree: LayerTree = { path: join(run, 'applied'), dialect: 'overlay' };
      mkdirSync(tree.path);
      const { contentSize } = applyLayer(writeDiff(source), { tree });
      expect(diffSize(source)).toBe(contentSize);
    });
  });

  it('carry directories that were renamed, and files of which only attributes were copied up', () => {
    property(12, (run, seed, steps) => {
      const base: LayerTree = { path: join(run, 'base'), dialect: 'overlay' };
      makeBase(base.path, seed, 30);
      let after: Listing = {};
      const options = ',redirect_dir=on,metacopy=on';
      const edit = (path: string) => {
        randomEdits(path, seed + 2, steps);
        after = list(path);
      };
      const upper = editedLayer(run, 'upper', [base], edit, options);
      const tar = collect(writeDiff({ upper, lowers: [base] }));
      const layer = applied(tar, join(run, 'applied'), 'overlay', [base]);
      expectSameView(withView([layer, base], join(run, 'view'), list), after);
      expect(changesOf({ upper, lowers: [base] })).toEqual(modelChanges(list(base.path), after));
    });
  });
});

describe.skipIf(process.getuid?.() !== 0)(
  'diffs of complete trees (needs root: makes devices and changes owners)',
  () => {
    it('applied to the old tree give the new one, hard links included', () => {
      property(20, (run, seed, steps) => {
        const [old, changed, patched] = [join(run, 'old'), join(run, 'changed'), join(run, 'patched')];
        makeBase(old, seed, 30);
        copyTree(old, changed);
        copyTree(old, patched);
        randomEdits(changed, seed + 1, steps);
        const source: DiffSource = {
          upper: { path: changed, dialect: 'complete' },
          lowers: [{ path: old, dialect: 'complete' }],
        };
        applied(collect(writeDiff(source)), patched, 'complete', []);
        expect(withoutRoot(list(patched))).toEqual(withoutRoot(list(changed)));
        expect(changesOf(source)).toEqual(modelChanges(list(old), list(changed)));
      });
    });

    it('are empty for a copy', () => {
      property(6, (run, seed, steps) => {
        const old = join(run, 'old');
        makeBase(old, seed, steps);
        copyTree(old, join(run, 'copy'));
        const source: DiffSource = {
          upper: { path: join(run, 'copy'), dialect: 'complete' },
          lowers: [{ path: old, dialect: 'complete' }],
        };
        expect(collect(writeDiff(source)).equals(Buffer.alloc(1024))).toBe(true);
        expect([...findChanges(source)]).toEqual([]);
      });
    });

    it('without lowers are the whole tree, which GNU tar unpacks to the same', () => {
      property(8, (run, seed, steps) => {
        const tree = join(run, 'tree');
        mkdirSync(tree);
        randomEdits(tree, seed, steps);
        const archive = join(run, 'tree.tar');
        writeFileSync(archive, collect(writeTree(tree)));
        mkdirSync(join(run, 'unpacked'));
        const options = [
          '--xattrs',
          '--xattrs-include=*',
          '--numeric-owner',
          '--delay-directory-restore',
          '-xpf',
          archive,
        ];
        execFileSync('tar', [...options, '-C', join(run, 'unpacked')], { stdio: 'pipe' });
        expect(list(join(run, 'unpacked'))).toEqual(list(tree));
      });
    });
  },
);

/** The root's time is no change by itself, and the root of an upper is the driver's matter. */
function withoutRoot(listing: Listing): Listing {
  return Object.fromEntries(Object.entries(listing).filter(([path]) => path !== '.'));
}

/**
 * The same view, and whatever was one file still is. More may be: an overlay splits a hard link when it copies one of
 * its names up, which is no change as long as nothing is done to the copy.
 */
function expectSameView(view: Listing, expected: Listing): void {
  expect(withoutLinks(view)).toEqual(withoutLinks(expected));
  for (const path of Object.keys(expected)) {
    expect([path, firstName(view, path)]).toEqual([path, firstName(view, firstName(expected, path))]);
  }
}

function firstName(listing: Listing, path: string): string {
  return / same file as ([^]*)$/.exec(listing[path] ?? '')?.[1] ?? path;
}

/** Copying up breaks hard links, also those of files that nobody touched afterwards. */
function withoutLinks(listing: Listing): Listing {
  const lines = Object.entries(withoutRoot(listing)).map(([path, line]) => [
    path,
    line.replace(/ same file as [^]*$/, ''),
  ]);
  return Object.fromEntries(lines) as Listing;
}

function changesOf(source: DiffSource): string[] {
  return [...findChanges(source)].map(({ path, kind }) => `${kind} ${path.toString('latin1')}`);
}

/** What docker diff lists, found by comparing two listings. */
function modelChanges(before: Listing, after: Listing): string[] {
  const kinds = new Map<string, string>();
  const isIn = (path: string, listing: Listing) => listing[path] !== undefined;
  for (const path of Object.keys(after)) {
    if (!isIn(path, before)) kinds.set(path, 'add');
    else if (significant(before[path]) !== significant(after[path])) kinds.set(path, 'modify');
  }
  for (const path of Object.keys(before)) {
    const parent = parentOf(path);
    const parentKept = parent === '.' || after[parent]?.startsWith('directory') === true;
    if (!isIn(path, after) && parentKept) kinds.set(path, 'delete');
  }
  for (const path of [...kinds.keys()]) {
    for (let parent = parentOf(path); parent !== '.'; parent = parentOf(parent)) {
      if (!kinds.has(parent)) kinds.set(parent, 'modify');
    }
  }
  kinds.delete('.');
  const sorted = [...kinds.entries()].sort(([one], [two]) => (key(one) < key(two) ? -1 : 1));
  return sorted.map(([path, kind]) => `${kind} /${path}`);
}

/** Slashes sort before every other byte, so that the order is by components. */
function key(path: string): string {
  return path.replaceAll('/', '\0');
}

function parentOf(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash === -1 ? '.' : path.slice(0, slash);
}

/** Without the times of directories and without hard links. */
function significant(line = ''): string {
  const content = line.replace(/ same file as [^]*$/, '');
  return content.startsWith('directory') ? content.replace(/ at -?\d+/, '') : content;
}
