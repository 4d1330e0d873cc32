/** The same random edits in every driver: views, changes and sizes must be equal, and diffs must fit both ways. */
import {
  chmodSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { parseLayerId, type LayerId } from '@layerstore/core';
import { AT_FDCWD, hasErrno, nativeSyscalls } from '@layerstore/linux';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { Conformance, type OpenedHome } from './conformance/subject.js';
import { treeFacts } from './conformance/tree-facts.js';
import { openDriver } from './registry.js';

type Edit =
  | { readonly kind: 'write'; readonly path: string; readonly content: string }
  | { readonly kind: 'directory' | 'remove' | 'fifo'; readonly path: string }
  | { readonly kind: 'symlink' | 'rename' | 'link'; readonly path: string; readonly other: string }
  | { readonly kind: 'mode'; readonly path: string; readonly mode: number }
  | { readonly kind: 'owner'; readonly path: string; readonly owner: number }
  | { readonly kind: 'xattr'; readonly path: string; readonly content: string };

/** Few names, so that edits meet. */
const path = fc
  .array(fc.constantFrom('a', 'b', 'c', 'd'), { minLength: 1, maxLength: 3 })
  .map((names) => names.join('/'));
const content = fc.constantFrom('', 'one', 'two', 'longer content');
const edit: fc.Arbitrary<Edit> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('write' as const), path, content }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('directory' as const), path }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constantFrom('remove' as const, 'remove' as const, 'fifo' as const), path }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constantFrom('symlink' as const, 'rename' as const), path, other: path }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('mode' as const), path, mode: fc.constantFrom(0o755, 0o4711, 0o1700) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('owner' as const), path, owner: fc.constantFrom(0, 1, 3_000_000) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('xattr' as const), path, content }) },
);
/** Hard links only in the last layer: an overlay breaks those of lower layers when it copies a file up. */
const link: fc.Arbitrary<Edit> = fc.record({ kind: fc.constant('link' as const), path, other: path });

const script = fc.tuple(
  fc.array(edit, { minLength: 20, maxLength: 40 }),
  fc.array(edit, { minLength: 5, maxLength: 25 }),
  fc.array(fc.oneof({ weight: 5, arbitrary: edit }, { weight: 1, arbitrary: link }), { minLength: 5, maxLength: 25 }),
);

describe.skipIf(process.geteuid?.() !== 0)('overlay2 and vfs agree (needs root)', () => {
  const overlay2 = new Conformance({ title: 'overlay2', open: (home, tools) => openDriver('overlay2', home, tools) });
  const vfs = new Conformance({ title: 'vfs', open: (home, tools) => openDriver('vfs', home, tools) });
  afterAll(async () => {
    await overlay2.close();
    await vfs.close();
  });

  test('on views, changes, sizes and diffs after any edits', async () => {
    await fc.assert(
      fc.asyncProperty(script, async (edits) => {
        await using one = await overlay2.openHome();
        await using other = await vfs.openHome();
        let parent: LayerId | undefined;
        for (const [depth, layerEdits] of edits.entries()) {
          const id = parseLayerId(`layer-${depth}`);
          for (const home of [one, other]) {
            await home.driver.create(id, parent === undefined ? {} : { parent });
            await home.inView(id, (view) => applyEdits(view, layerEdits, depth));
          }
          const facts = await one.inView(id, treeFacts);
          expect(await other.inView(id, treeFacts)).toEqual(facts);
          expect(await changesOf(other, id, parent)).toEqual(await changesOf(one, id, parent));
          expect(await other.diffs.diffSize(id, parent)).toBe(await one.diffs.diffSize(id, parent));
          for (const [from, to] of [
            [one, other],
            [other, one],
          ] as const) {
            const tar = join(from.directory, `${id}.tar`);
            await from.diffs.diff(id, parent, { path: tar });
            const copy = parseLayerId(`copy-${depth}`);
            await to.driver.create(copy, parent === undefined ? {} : { parent });
            await to.diffs.applyDiff(copy, { path: tar });
            expect(await to.inView(copy, treeFacts)).toEqual(facts);
          }
          parent = id;
        }
      }),
      { numRuns: 25 },
    );
  });
});

async function changesOf(home: OpenedHome, id: LayerId, parent: LayerId | undefined): Promise<string[]> {
  const changes = await home.diffs.changes(id, parent);
  return changes.map((change) => `${change.kind} ${change.path.toString()}`);
}

/** An edit that the tree does not allow (a parent that is a file, a directory in the way) does nothing, in every driver. */
function applyEdits(view: string, edits: readonly Edit[], depth: number): void {
  for (const [number, each] of edits.entries()) {
    try {
      applyEdit(join(view, each.path), each, view);
      // Files of different edits differ in time; both drivers give the same ones.
      lutimesSync(join(view, each.path), 0, 1_600_000_000 + depth * 1000 + number);
    } catch (error) {
      if (!hasErrno(error, 'ENOENT', 'ENOTDIR', 'EISDIR', 'EEXIST', 'ELOOP', 'EXDEV', 'EINVAL', 'EPERM', 'ENOTEMPTY'))
        throw error;
    }
  }
}

/**
 * Symlinks are not followed, because only their own time is set; fifos are not opened, because that waits for a reader;
 * directories are not renamed, because an overlay refuses it for those of lower layers.
 */
function applyEdit(target: string, each: Edit, view: string): void {
  const sys = nativeSyscalls();
  const present = lstatSync(target, { throwIfNoEntry: false });
  switch (each.kind) {
    case 'write':
      mkdirSync(dirname(target), { recursive: true });
      if (present === undefined || present.isFile()) writeFileSync(target, each.content);
      return;
    case 'directory':
      mkdirSync(target);
      return;
    case 'remove':
      rmSync(target, { recursive: true });
      return;
    case 'fifo':
      sys.mknodat(AT_FDCWD, target, 0o010644, 0, 0);
      return;
    case 'symlink':
      symlinkSync(each.other, target);
      return;
    case 'rename':
      if (!lstatSync(join(view, each.other)).isDirectory()) renameSync(join(view, each.other), target);
      return;
    case 'link':
      linkSync(join(view, each.other), target);
      return;
    case 'mode':
      if (present?.isSymbolicLink() === false) chmodSync(target, each.mode);
      return;
    case 'owner':
      lchownSync(target, each.owner, each.owner);
      return;
    case 'xattr':
      if (present?.isSymbolicLink() === false) sys.setXattr(target, 'user.note', Buffer.from(each.content));
      return;
  }
}
