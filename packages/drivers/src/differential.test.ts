/** The same random edits in every driver: views, changes and sizes must be equal, and diffs must fit both ways. */
import {
  chmodSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { parseLayerId, type LayerId } from '@layerstore/core';
import { AT_FDCWD, hasErrno, hasFuseOverlayfs, Mounter, nativeSyscalls } from '@layerstore/linux';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { Conformance, type ConformanceSubject, type OpenedHome } from './conformance/subject.js';
import { treeFacts } from './conformance/tree-facts.js';
import { driverNames, openDriver } from './registry.js';

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

/** Every driver that there is; all are compared with the first. */
const subjects: readonly ConformanceSubject[] = [
  { title: 'vfs', driver: 'vfs' },
  ...driverNames.filter((driver) => driver !== 'vfs').map((driver) => ({ title: driver, driver })),
];

describe.skipIf(process.geteuid?.() !== 0)(`${subjects.map(({ title }) => title).join(', ')} (needs root)`, () => {
  const drivers = subjects.map((subject) => new Conformance(subject));
  afterAll(() => Promise.all(drivers.map((driver) => driver.close())));

  test("agree on views, changes, sizes and diffs after any edits, and take one another's diffs", async () => {
    await fc.assert(
      fc.asyncProperty(script, async (edits) => {
        await using opened = await openAll(drivers);
        const { homes } = opened;
        let parent: LayerId | undefined;
        for (const [depth, layerEdits] of edits.entries()) {
          const id = parseLayerId(`layer-${depth}`);
          for (const home of homes) await makeEdited(home, id, parent, (view) => applyEdits(view, layerEdits, depth));
          await expectAgreement(homes, id, parent);
          for (const [from, to] of neighbours(homes)) await expectApplied(from, to, id, parent);
          parent = id;
        }
        // Layers that are not parent and child: upwards over several, and backwards.
        for (const home of homes) {
          for (const [id, over] of [
            ['layer-2', 'layer-0'],
            ['layer-0', 'layer-2'],
            ['layer-1', 'copy-2'],
          ] as const) {
            await expectApplied(home, home, parseLayerId(id), parseLayerId(over), `${id}-over-${over}`);
          }
        }
      }),
      { numRuns: 12 },
    );
  });

  test('agree on layers that were unpacked one over the other', async () => {
    await fc.assert(
      fc.asyncProperty(script, async (edits) => {
        await using opened = await openAll(drivers);
        const [written, ...homes] = opened.homes;
        if (written === undefined) return;
        let parent: LayerId | undefined;
        for (const [depth, layerEdits] of edits.entries()) {
          const id = parseLayerId(`layer-${depth}`);
          await makeEdited(written, id, parent, (view) => applyEdits(view, layerEdits, depth));
          for (const home of homes) await expectApplied(written, home, id, parent, id);
          parent = id;
        }
        for (const home of homes) {
          for (let depth = 0; depth < edits.length; depth++) {
            const id = parseLayerId(`layer-${depth}`);
            expect(await home.inView(id, treeFacts), home.subject.title).toEqual(await written.inView(id, treeFacts));
          }
        }
      }),
      { numRuns: 12 },
    );
  });
});

async function openAll(drivers: readonly Conformance[]): Promise<AsyncDisposable & { homes: readonly OpenedHome[] }> {
  const homes = await Promise.all(drivers.map((driver) => driver.openHome()));
  return {
    homes,
    async [Symbol.asyncDispose]() {
      for (const home of homes) await home[Symbol.asyncDispose]();
    },
  };
}

async function makeEdited(
  home: OpenedHome,
  id: LayerId,
  parent: LayerId | undefined,
  change: (view: string) => void,
): Promise<void> {
  await home.driver.create(id, parent === undefined ? {} : { parent });
  await home.inView(id, change);
}

async function expectAgreement(homes: readonly OpenedHome[], id: LayerId, parent: LayerId | undefined): Promise<void> {
  const [first, ...others] = homes;
  if (first === undefined) return;
  const facts = await first.inView(id, treeFacts);
  const changes = await changesOf(first, id, parent);
  const size = await first.diffs.diffSize(id, parent);
  for (const home of others) {
    expect(await home.inView(id, treeFacts), home.subject.title).toEqual(facts);
    const program = hasFuseOverlayfs() ? await shownByProgram(home, id) : undefined;
    if (program !== undefined) expect(program, home.subject.title).toEqual(facts);
    expect(await changesOf(home, id, parent), home.subject.title).toEqual(changes);
    const expected = home.driver.abilities.sizeRule === 'lstat' ? await sizeOfDirectory(home, id) : size;
    expect(await home.diffs.diffSize(id, parent), home.subject.title).toBe(expected);
  }
}

/**
 * What fuse-overlayfs shows of the layers that the kernel wrote. It only reads here: version 1.10 answers EIO to some edits
 * of fifos and symlinks.
 */
async function shownByProgram(home: OpenedHome, id: LayerId): Promise<Record<string, string> | undefined> {
  const program = new Mounter({ method: 'fuse-overlayfs' });
  // A driver may plan for the program in another way than for the kernel.
  const driver = await openDriver(home.driver.name, home.driver.home, { ...home.tools, mounter: program });
  const plan = await driver.openView(id, { readOnly: true });
  if (plan.kind === 'overlay' && coversOthers(plan.lowers)) return undefined;
  return program.withMount(plan, join(home.directory, 'by-program'), (view) => Promise.resolve(treeFacts(view)));
}

/** Where a directory lies over something else, version 1.10 follows a symlink, answers ENOMEM, or shows nothing in it. */
function coversOthers(layers: readonly string[]): boolean {
  return layers.some((layer, index) => {
    const directories = readdirSync(layer, { recursive: true, withFileTypes: true }).filter((entry) =>
      entry.isDirectory(),
    );
    const paths = directories.map((entry) => relative(layer, join(entry.parentPath, entry.name)));
    return layers.slice(index + 1).some((lower) => paths.some((path) => isOther(join(lower, path))));
  });
}

function isOther(path: string): boolean {
  try {
    return !lstatSync(path).isDirectory();
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return false;
    throw error;
  }
}

/** Each with the next, both ways. */
function neighbours(homes: readonly OpenedHome[]): (readonly [OpenedHome, OpenedHome])[] {
  return homes.flatMap((home, index) => {
    const next = homes[(index + 1) % homes.length] ?? home;
    return [[home, next] as const, [next, home] as const];
  });
}

/** What differs from `parent` in one driver, applied over it in another, gives the layer's view. */
async function expectApplied(
  from: OpenedHome,
  to: OpenedHome,
  id: LayerId,
  parent: LayerId | undefined,
  name?: string,
): Promise<void> {
  const tar = join(from.directory, 'diff.tar');
  await from.diffs.diff(id, parent, { path: tar });
  const copy = parseLayerId(name ?? `copy-${id.slice('layer-'.length)}`);
  await to.driver.remove(copy);
  await to.driver.create(copy, parent === undefined ? {} : { parent });
  await to.diffs.applyDiff(copy, { path: tar });
  const message = `${from.subject.title} to ${to.subject.title}, ${copy}`;
  expect(await to.inView(copy, treeFacts), message).toEqual(await from.inView(id, treeFacts));
}

/** What Docker's drivers count: everything in the layer's directory but directories, each inode once. */
async function sizeOfDirectory(home: OpenedHome, id: LayerId): Promise<number> {
  const { tree } = await home.driver.applyTarget(id);
  const sizes = new Map<number, number>();
  for (const name of readdirSync(tree.path, { recursive: true, encoding: 'utf8' })) {
    const status = lstatSync(join(tree.path, name));
    if (!status.isDirectory()) sizes.set(status.ino, status.size);
  }
  return [...sizes.values()].reduce((sum, size) => sum + size, 0);
}

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
