import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ArchiveWorkers } from '@layerstore/archive';
import { parseLayerId, type LayerId } from '@layerstore/core';
import { Mounter, mountsBelow, readMountTable, removeTree } from '@layerstore/linux';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { treeFacts } from '../conformance/tree-facts.js';
import { layerDiffs, type LayerDiffs } from '../layer-diffs.js';
import { LayerViews } from '../views/layer-views.js';
import { readOnlyOptions } from '../overlay2/mount-options.js';
import { openOverlay } from './open-overlay.js';
import type { OverlayDriver } from './overlay-driver.js';

const [base, second, third, init, box] = ['base', 'second', 'third', 'box-init', 'box'].map(parseLayerId) as [
  LayerId,
  LayerId,
  LayerId,
  LayerId,
  LayerId,
];

describe.skipIf(process.geteuid?.() !== 0)('overlay (needs root)', () => {
  const workers = new ArchiveWorkers({ threads: 1 });
  afterAll(() => workers[Symbol.asyncDispose]());
  const mounter = new Mounter();
  let directory: string;
  let driver: OverlayDriver;
  let diffs: LayerDiffs;
  let views: LayerViews;

  beforeEach(async () => {
    directory = realpathSync(mkdtempSync(join(tmpdir(), 'layerstore-overlay-')));
    await open();
  });
  afterEach(async () => {
    for (const { mountPoint } of mountsBelow(readMountTable(), directory).reverse()) await mounter.unmount(mountPoint);
    removeTree(directory);
  });

  const open = async (): Promise<void> => {
    driver = await openOverlay(join(directory, 'home'), { mounter, workers });
    diffs = layerDiffs(driver, { workers, mounter });
    views = new LayerViews(driver, mounter);
  };
  const file = (...names: string[]): string => join(directory, 'home', ...names);
  const inView = async <Result>(id: LayerId, use: (view: string) => Result): Promise<Result> => {
    await using view = await views.lease(id);
    return use(view.path);
  };
  const facts = (id: LayerId): Promise<Record<string, string>> => inView(id, treeFacts);
  const modeOf = (...names: string[]): string => (lstatSync(file(...names)).mode & 0o7777).toString(8);

  /** Packs a tree with GNU tar and applies it, as an image's layer is. */
  const pull = async (id: LayerId, parent: LayerId | undefined, script: string): Promise<void> => {
    const tree = join(directory, `tree-${id}`);
    mkdirSync(tree);
    execFileSync('sh', ['-ec', script], { cwd: tree });
    execFileSync('tar', ['-C', tree, '-cf', `${tree}.tar`, ...readdirSync(tree)]);
    await driver.create(id, parent === undefined ? {} : { parent });
    await diffs.applyDiff(id, { path: `${tree}.tar` });
  };
  const pullTwo = async (): Promise<void> => {
    await pull(base, undefined, 'mkdir etc opt; echo a > etc/a; echo b > etc/b; ln etc/b etc/c; echo o > opt/o');
    await pull(second, base, 'mkdir etc opt; echo changed > etc/a; touch etc/.wh.b opt/.wh..wh..opq; echo n > opt/n');
  };

  test('keeps for an image the home that Docker keeps: one complete tree, hard-linked to its parent', async () => {
    await pullTwo();
    expect([readdirSync(file(base)), readdirSync(file(second))]).toEqual([['root'], ['root']]);
    expect(readdirSync(file(second, 'root'), { recursive: true }).sort()).toEqual([
      'etc',
      'etc/a',
      'etc/c',
      'opt',
      'opt/n',
    ]);
    expect(lstatSync(file(second, 'root', 'etc', 'c')).ino).toBe(lstatSync(file(base, 'root', 'etc', 'c')).ino);
    expect(readFileSync(file(base, 'root', 'etc', 'a'), 'utf8')).toBe('a\n');
  });

  test('keeps for a container what Docker keeps, and copies the changes of a parent that is no image', async () => {
    await pullTwo();
    await driver.createReadWrite(init, { parent: second });
    expect(readdirSync(file(init)).sort()).toEqual(['lower-id', 'upper', 'work']);
    expect(readFileSync(file(init, 'lower-id'), 'utf8')).toBe('second');
    await inView(init, (view) => writeFileSync(join(view, '.dockerenv'), ''));
    await driver.createReadWrite(box, { parent: init });
    expect(readFileSync(file(box, 'lower-id'), 'utf8')).toBe('second');
    expect(readdirSync(file(box, 'upper'))).toEqual(['.dockerenv']);
    await inView(box, (view) => writeFileSync(join(view, 'own'), ''));
    await inView(init, (view) => writeFileSync(join(view, 'later'), ''));
    expect(Object.keys(await facts(box))).toEqual(expect.arrayContaining(['/own', '/.dockerenv', '/etc/c']));
    expect(Object.keys(await facts(box))).not.toContain('/later');
  });

  test('gives every directory and file its mode, whatever the umask', async () => {
    const before = process.umask(0o077);
    try {
      await driver.create(base);
      chmodSync(file(base, 'root'), 0o1775);
      chownSync(file(base, 'root'), 3, 4);
      await driver.create(second, { parent: base });
    } finally {
      process.umask(before);
    }
    const names = ['.', 'base', 'base/root', 'second', 'second/upper', 'second/work', 'second/lower-id'];
    expect(names.map((name) => [name, modeOf(name)])).toEqual([
      ['.', '710'],
      ['base', '700'],
      ['base/root', '1775'],
      ['second', '700'],
      ['second/upper', '1775'],
      ['second/work', '700'],
      ['second/lower-id', '600'],
    ]);
    expect(lstatSync(file('second', 'upper'))).toMatchObject({ uid: 3, gid: 4 });
  });

  test("tells the paths by Docker's names", async () => {
    await pullTwo();
    await driver.createReadWrite(box, { parent: second });
    expect(await driver.metadata(second)).toEqual({ RootDir: file('second/root') });
    expect(await driver.metadata(box)).toEqual({
      LowerDir: file('second/root'),
      MergedDir: file('box/merged'),
      UpperDir: file('box/upper'),
      WorkDir: file('box/work'),
    });
    expect((await driver.status()).slice(0, 2)).toEqual([
      ['Backing Filesystem', 'extfs'],
      ['Supports d_type', 'true'],
    ]);
  });

  test('removes the mount point with the mount', async () => {
    await pullTwo();
    await driver.createReadWrite(box, { parent: second });
    const view = await views.get(box);
    expect(view).toBe(file('box/merged'));
    await views.put(box);
    expect(existsSync(view)).toBe(false);
  });

  test('never lets a write in place reach a layer that shares the file', async () => {
    await pullTwo();
    const before = [await facts(base), await facts(second)];
    for (const id of [base, second]) {
      await inView(id, (view) => {
        expect(() => appendFileSync(join(view, 'etc', 'c'), 'x')).toThrow(expect.objectContaining({ code: 'EROFS' }));
      });
    }
    await driver.createReadWrite(box, { parent: second });
    await inView(box, (view) => {
      appendFileSync(join(view, 'etc', 'c'), 'x');
      chmodSync(join(view, 'etc', 'a'), 0o600);
    });
    await pull(third, second, 'mkdir etc; echo in place > etc/c; echo more > etc/a');
    expect([await facts(base), await facts(second)]).toEqual(before);
    expect(readFileSync(file('third/root/etc/c'), 'utf8')).toBe('in place\n');
  });

  test('takes writes in a base layer until another layer may share its files, and none where nothing is known', async () => {
    await driver.create(base);
    await inView(base, (view) => writeFileSync(join(view, 'file'), '1'));
    await open();
    await inView(base, (view) => writeFileSync(join(view, 'file'), '2'));
    await driver.create(second, { parent: base });
    expect(await driver.plan(base)).toEqual({ kind: 'bind', source: file('base/root'), readOnly: true });
    await driver.remove(second);
    expect(await driver.plan(base)).toMatchObject({ readOnly: true });
    await driver.create(third);
    rmSync(file('.layerstore'), { recursive: true });
    await open();
    expect(await driver.plan(third)).toMatchObject({ readOnly: true });
  });

  test('describes a container as an upper over the tree of its image, and read-only as two lowers', async () => {
    await pullTwo();
    await driver.createReadWrite(box, { parent: second });
    const options = Object.fromEntries(await driver.status())['Mount Options']?.split(',');
    expect(await driver.plan(box)).toEqual({
      kind: 'overlay',
      lowers: [file('second/root')],
      upper: { path: file('box/upper'), work: file('box/work') },
      options,
    });
    expect(await driver.plan(box, { readOnly: true, mountLabel: 'u:r:t:s0:c1,c2' })).toEqual({
      kind: 'overlay',
      lowers: [file('box/upper'), file('second/root')],
      options: [...readOnlyOptions(options ?? []), 'context="u:r:t:s0:c1,c2"'],
    });
  });

  test('applies an archive through the view where the parent is no image', async () => {
    await pullTwo();
    await driver.createReadWrite(init, { parent: second });
    await inView(init, (view) => writeFileSync(join(view, 'init'), ''));
    await pull(box, init, 'mkdir etc; touch etc/.wh.c .wh.init; echo new > new');
    expect(readdirSync(file(box)).sort()).toEqual(['lower-id', 'upper', 'work']);
    const shown = Object.keys(await facts(box));
    expect(shown).toEqual(expect.arrayContaining(['/new', '/etc/a']));
    expect(shown).not.toContain('/init');
    expect(shown).not.toContain('/etc/c');
    expect(mountsBelow(readMountTable(), directory)).toEqual([]);
  });

  test('compares in place where trees tell all, and through views otherwise', async () => {
    await pullTwo();
    await driver.createReadWrite(init, { parent: second });
    await driver.createReadWrite(box, { parent: init });
    const tree = (name: string, dialect: string): object => ({ path: file(name), dialect });
    const root = tree('second/root', 'complete');
    expect(await driver.diffSource(second, base)).toEqual({ upper: root, lowers: [tree('base/root', 'complete')] });
    expect(await driver.diffSource(second, undefined)).toEqual({ upper: root, lowers: [] });
    expect(await driver.diffSource(init, second)).toEqual({ upper: tree('box-init/upper', 'overlay'), lowers: [root] });
    expect(await driver.diffSource(box, init)).toBeUndefined();
    expect(await driver.diffSource(box, base)).toBeUndefined();
    expect(await driver.diffSource(box, undefined)).toBeUndefined();
    await inView(box, (view) => writeFileSync(join(view, 'own'), ''));
    expect((await diffs.changes(box, init)).map(({ path }) => path.toString())).toEqual(['/own']);
  });

  test('copies a file that has as many names as the file system allows', async () => {
    await driver.create(base);
    const path = file('base/root/file');
    writeFileSync(path, 'content');
    const more = join(directory, 'more');
    mkdirSync(more);
    for (let count = 1; ; count += 1) {
      try {
        linkSync(path, join(more, String(count)));
      } catch (error) {
        expect(error).toMatchObject({ code: 'EMLINK' });
        break;
      }
    }
    await pull(second, base, 'echo x > x');
    const copy = lstatSync(file('second/root/file'), { bigint: true });
    expect(copy.ino).not.toBe(lstatSync(path, { bigint: true }).ino);
    expect(copy.mtimeNs).toBe(lstatSync(path, { bigint: true }).mtimeNs);
    expect(readFileSync(file('second/root/file'), 'utf8')).toBe('content');
  });

  describe('never starts with the wrong lower, and names the file', () => {
    const cases: readonly (readonly [string, () => void, string])[] = [
      ['an empty record', () => writeFileSync(file('box/lower-id'), ''), 'box/lower-id'],
      ['a lost record', () => rmSync(file('box/lower-id')), 'box/lower-id'],
      ['a record with a path', () => writeFileSync(file('box/lower-id'), '../../etc'), 'box/lower-id'],
      ['a lower layer that is gone', () => rmSync(file('second'), { recursive: true }), 'box/lower-id'],
      [
        'a symlink in place of its tree',
        () => {
          rmSync(file('second/root'), { recursive: true });
          symlinkSync('/etc', file('second/root'));
        },
        'box/lower-id',
      ],
      ['a lost upper', () => rmSync(file('box/upper'), { recursive: true }), 'box/upper'],
    ];
    test.each(cases)('%s', async (_, damage, place) => {
      await pullTwo();
      await driver.createReadWrite(box, { parent: second });
      damage();
      const refused = { code: 'ERR_STORE_DAMAGED', message: expect.stringContaining(file(place)) as string };
      await expect(driver.plan(box)).rejects.toMatchObject(refused);
      await expect(driver.create(third, { parent: box })).rejects.toMatchObject(refused);
      await driver.remove(box);
    });
  });

  test('ignores, and sweeps, what an engine left beside a complete tree', async () => {
    await pullTwo();
    mkdirSync(file('second/upper'));
    mkdirSync(file('second/work/work'), { recursive: true });
    writeFileSync(file('second/lower-id'), 'base');
    expect(await driver.plan(second)).toMatchObject({ kind: 'bind', source: file('second/root') });
    await driver.cleanup();
    expect(readdirSync(file('second'))).toEqual(['root']);
  });

  test.each(['size', 'overlay.size', 'overlay.override_kernel_check'])('knows no option %s', async (key) => {
    const storageOptions = Object.fromEntries([[key, '1G']]);
    await expect(openOverlay(join(directory, 'other'), { mounter, storageOptions })).rejects.toMatchObject({
      code: 'ERR_UNKNOWN_OPTION',
      message: expect.stringContaining(key) as string,
    });
    expect(existsSync(join(directory, 'other'))).toBe(false);
  });
});
