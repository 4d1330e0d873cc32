import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { ArchiveWorkers, readMarkerList, scanMarkers } from '@layerstore/archive';
import { parseLayerId, type LayerId } from '@layerstore/core';
import { Mounter, mountsBelow, nativeSyscalls, readMountTable, removeTree } from '@layerstore/linux';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { treeFacts } from '../conformance/tree-facts.js';
import { layerDiffs } from '../layer-diffs.js';
import { LayerViews } from '../views/layer-views.js';
import type { AufsDriver } from './aufs-driver.js';
import type { AufsEngine } from './engine.js';
import { openAufs, type AufsOptions } from './open-aufs.js';

const [base, middle, top] = [parseLayerId('base'), parseLayerId('middle'), parseLayerId('top')];

describe.skipIf(process.geteuid?.() !== 0)('an aufs home (needs root)', () => {
  let directory: string;
  let home: string;
  const mounter = new Mounter();
  const workers = new ArchiveWorkers({ threads: 1 });
  afterAll(() => workers[Symbol.asyncDispose]());
  beforeEach(() => {
    directory = realpathSync(mkdtempSync('/dev/shm/layerstore-aufs-'));
    home = join(directory, 'home');
  });
  afterEach(async () => {
    for (const entry of mountsBelow(readMountTable(), directory).reverse()) await mounter.unmount(entry.mountPoint);
    removeTree(directory);
  });

  const open = async (options: Partial<AufsOptions> = {}): Promise<AufsDriver> => {
    const driver = await openAufs(home, { mounter, engine: 'overlay', ...options });
    await driver.cleanup();
    return driver;
  };
  /** A stack of three layers; `write` fills their directories. */
  const makeStack = async (write: (path: string, id: LayerId) => void = () => undefined): Promise<AufsDriver> => {
    const driver = await open();
    let parent: LayerId | undefined;
    for (const id of [base, middle, top]) {
      await driver.create(id, parent === undefined ? {} : { parent });
      write((await driver.applyTarget(id)).tree.path, id);
      parent = id;
    }
    return driver;
  };
  const view = async (driver: AufsDriver, id: LayerId, readOnly = true): Promise<Record<string, string>> => {
    await using lease = await new LayerViews(driver, mounter).lease(id, { readOnly });
    return treeFacts(lease.path);
  };
  const inEachEngine = async (id: LayerId): Promise<Record<string, string>> => {
    const shown = async (engine: AufsEngine): Promise<Record<string, string>> => view(await open({ engine }), id);
    const one = await shown('overlay');
    const other = await shown('fuse-overlayfs');
    expect(other).toEqual(one);
    return one;
  };
  const mode = (...names: string[]): string => (lstatSync(join(home, ...names)).mode & 0o7777).toString(8);

  describe('is as Docker makes it', () => {
    test('in its names, modes and lists', async () => {
      await makeStack();
      expect(readdirSync(home).sort()).toEqual(['.layerstore', 'diff', 'layers', 'mnt']);
      expect([mode(), ...['mnt', 'diff', 'layers'].map((name) => mode(name))]).toEqual(['710', '710', '710', '710']);
      for (const folder of ['diff', 'mnt']) expect(mode(folder, top)).toBe('755');
      expect(mode('layers', top)).toBe('644');
      expect(readFileSync(join(home, 'layers', base), 'utf8')).toBe('');
      expect(readFileSync(join(home, 'layers', top), 'utf8')).toBe('middle\nbase\n');
    });

    test('and its directories belong to the root that containers see', async () => {
      const range = { container: 0, host: 200_000, size: 65_536 };
      const driver = await open({ idMaps: { uids: [range], gids: [{ ...range, host: 300_000 }] } });
      await driver.create(base);
      for (const folder of ['diff', 'mnt']) {
        expect(statSync(join(home, folder, base))).toMatchObject({ uid: 200_000, gid: 300_000 });
      }
    });

    test('and stays so when it was made long ago, with other modes', async () => {
      await makeStack();
      rmSync(join(home, '.layerstore'), { recursive: true });
      for (const name of ['mnt', 'diff', 'layers', '.']) chmodSync(join(home, name), 0o755);
      const driver = await open();
      expect(['mnt', 'diff', 'layers', '.'].map((name) => mode(name))).toEqual(['755', '755', '755', '755']);
      expect((await driver.list()).sort()).toEqual([base, middle, top]);
    });

    test('also after a view was mounted: its mount point is there again', async () => {
      const driver = await makeStack();
      await view(driver, top, false);
      expect(mode('mnt', top)).toBe('755');
      rmSync(join(home, 'mnt', top), { recursive: true });
      await open();
      expect(mode('mnt', top)).toBe('755');
    });
  });

  describe('tells in its status', () => {
    test('what Docker tells, and what mounts its views', async () => {
      const driver = await makeStack();
      const status = Object.fromEntries(await driver.status());
      expect(status).toMatchObject({ 'Root Dir': home, 'Backing Filesystem': 'tmpfs', Dirs: '3' });
      expect(status).toMatchObject({ 'Dirperm1 Supported': 'true', 'Mount Engine': 'overlay', 'Maximum Depth': '127' });
      const chosen = Object.fromEntries(await (await openAufs(home, { mounter })).status());
      expect(chosen['Engine Reason']).toBe('aufs: the kernel has no aufs');
    });
  });

  describe('is refused', () => {
    test('where the engine that was asked for is missing', async () => {
      await expect(open({ engine: 'aufs' })).rejects.toMatchObject({ code: 'ERR_MISSING_PREREQUISITE' });
    });

    test('on a file system that carries no overlay, as long as it is new', async () => {
      const disk = join(directory, 'disk');
      mkdirSync(disk);
      nativeSyscalls().mount('ramfs', disk, 'ramfs', 0, '');
      home = join(disk, 'home');
      await expect(openAufs(home, { mounter })).rejects.toMatchObject({ code: 'ERR_INCOMPATIBLE_FILE_SYSTEM' });
      for (const name of ['layers', 'diff', 'mnt']) mkdirSync(join(home, name), { recursive: true });
      writeFileSync(join(home, 'layers', base), '');
      mkdirSync(join(home, 'diff', base));
      const status = Object.fromEntries(await (await openAufs(home, { mounter })).status());
      expect(status['Mount Engine']).toBe('fuse-overlayfs (read-only)');
    });

    test('over an overlay', async () => {
      for (const name of ['lower', 'upper', 'work']) mkdirSync(join(directory, name));
      const upper = { path: join(directory, 'upper'), work: join(directory, 'work') };
      const plan = { kind: 'overlay', lowers: [join(directory, 'lower')], upper, options: [] } as const;
      home = join(await mounter.mount(plan, join(directory, 'merged')), 'home');
      await expect(open()).rejects.toMatchObject({
        code: 'ERR_INCOMPATIBLE_FILE_SYSTEM',
        message: expect.stringContaining('overlayfs') as string,
      });
    });
  });

  describe('with damaged lists', () => {
    test.each([
      ['names of no layer', '../etc\n'],
      ['a layer that is gone', 'middle\nbase\nlost\n'],
      ['a list that differs from that of the parent', 'middle\n'],
      ['a layer under itself', 'top\nmiddle\nbase\n'],
    ])('that hold %s starts nothing with the wrong layers', async (_, text) => {
      const driver = await makeStack();
      writeFileSync(join(home, 'layers', top), text);
      for (const ask of [() => driver.plan(top), () => driver.openView(top), () => driver.diffSource(top, middle)]) {
        await expect(ask()).rejects.toMatchObject({ code: 'ERR_STORE_DAMAGED', subject: join(home, 'layers', top) });
      }
    });

    test('that a power cut has emptied is repaired by what the child says', async () => {
      await makeStack();
      writeFileSync(join(home, 'layers', middle), '');
      const driver = await open();
      expect(await driver.parent(middle)).toBe(base);
      expect(readFileSync(join(home, 'layers', middle), 'utf8')).toBe('base\n');
    });
  });

  describe('keeps what it does not know', () => {
    test('and takes no name under which something lies', async () => {
      const driver = await makeStack();
      mkdirSync(join(home, 'diff', 'orphan', 'data'), { recursive: true });
      await expect(driver.create(parseLayerId('orphan'))).rejects.toMatchObject({ code: 'ERR_EXISTS' });
      await open();
      expect(existsSync(join(home, 'diff', 'orphan', 'data'))).toBe(true);
      rmSync(join(home, 'diff', 'orphan', 'data'), { recursive: true });
      await driver.create(parseLayerId('orphan'));
    });

    test('but deletes what is marked as being removed, by whomever', async () => {
      const driver = await makeStack();
      for (const folder of ['diff', 'mnt']) mkdirSync(join(home, folder, 'old-removing', 'data'), { recursive: true });
      await expect(driver.create(parseLayerId('new-removing'))).rejects.toMatchObject({ code: 'ERR_INVALID_ID' });
      await open();
      for (const folder of ['diff', 'mnt']) expect(existsSync(join(home, folder, 'old-removing'))).toBe(false);
    });
  });

  describe('shows the strict view, by shadows and by fuse-overlayfs', () => {
    test('an opaque directory hides all that is below, also below another opaque one', async () => {
      await makeStack((path, id) => {
        mkdirSync(join(path, 'directory'));
        writeFileSync(join(path, 'directory', id), '');
        if (id !== base) writeFileSync(join(path, 'directory', '.wh..wh..opq'), '');
      });
      expect(Object.keys(await inEachEngine(top))).toEqual(['/', '/directory', '/directory/top']);
    });

    test('an opaque root hides all lower layers', async () => {
      await makeStack((path, id) => {
        writeFileSync(join(path, id), '');
        if (id === middle) writeFileSync(join(path, '.wh..wh..opq'), '');
      });
      expect(Object.keys(await inEachEngine(top))).toEqual(['/', '/middle', '/top']);
      const driver = await open();
      await driver.createReadWrite(parseLayerId('box'), { parent: top });
      expect(Object.keys(await view(driver, parseLayerId('box'), false))).toEqual(['/', '/middle', '/top']);
    });

    test('an opaque root of the writable layer itself is kept through a view', async () => {
      const driver = await makeStack((path, id) => writeFileSync(join(path, id), ''));
      const own = join(home, 'diff', top);
      writeFileSync(join(own, '.wh..wh..opq'), '');
      expect(Object.keys(await view(driver, top, false))).toEqual(['/', '/top']);
      expect(readdirSync(own).sort()).toEqual(['.wh..wh..opq', 'top']);
      expect(Object.keys(await inEachEngine(top))).toEqual(['/', '/top']);
    });

    test('a file between two directories separates them', async () => {
      await makeStack((path, id) => {
        if (id === middle) {
          writeFileSync(join(path, 'name'), 'file');
          return;
        }
        mkdirSync(join(path, 'name'));
        writeFileSync(join(path, 'name', id), '');
      });
      expect(Object.keys(await inEachEngine(top))).toEqual(['/', '/name', '/name/top']);
    });

    test('a whiteout hides also what stands beside it, and no marker is ever seen', async () => {
      const driver = await makeStack((path, id) => {
        mkdirSync(join(path, 'both'));
        writeFileSync(join(path, 'both', id), '');
        for (const name of ['.wh..wh.orph', '.wh..wh.plnk']) mkdirSync(join(path, name));
        for (const name of ['.wh..wh.aufs', '.wh..wh.plnk/1.2']) writeFileSync(join(path, name), '');
        if (id === middle) for (const name of ['.wh.both', '.wh.never']) writeFileSync(join(path, name), '');
      });
      expect(Object.keys(await inEachEngine(top))).toEqual(['/', '/both', '/both/top']);
      expect(Object.keys(await inEachEngine(middle))).toEqual(['/']);
      const changes = await layerDiffs(driver, { workers, mounter }).changes(middle, base);
      expect(changes.map(({ kind, path }) => `${kind} ${path.toString()}`)).toEqual(['delete /both']);
    });

    test('and never shadows by fuse-overlayfs, which reads them in another way', async () => {
      const driver = await makeStack((path, id) => {
        mkdirSync(join(path, 'directory'));
        writeFileSync(join(path, 'directory', '.wh..wh..opq'), '');
        writeFileSync(join(path, 'directory', id), '');
      });
      const program = new Mounter({ method: 'fuse-overlayfs' });
      const plan = await driver.openView(top, { readOnly: true });
      await expect(program.mount(plan, join(directory, 'wrong'))).rejects.toMatchObject({ code: 'ERR_NOT_SUPPORTED' });
      const planned = await openAufs(home, { mounter: program });
      await program.withMount(await planned.openView(top), join(directory, 'right'), (path) => {
        expect(Object.keys(treeFacts(path))).toEqual(['/', '/directory', '/directory/top']);
        return Promise.resolve();
      });
    });

    test('127 layers', { timeout: 120_000 }, async () => {
      const driver = await open();
      let parent: LayerId | undefined;
      for (let number = 0; number < 127; number++) {
        const id = parseLayerId(`layer-${number}`);
        await driver.create(id, parent === undefined ? {} : { parent });
        const { tree } = await driver.applyTarget(id);
        writeFileSync(join(tree.path, `from-${number}`), '');
        writeFileSync(join(tree.path, `.wh.from-${number - 2}`), '');
        parent = id;
      }
      expect(Object.keys(await inEachEngine(parent ?? base))).toEqual(['/', '/from-125', '/from-126']);
      const plan = await driver.plan(parent ?? base, { readOnly: true });
      expect(plan.kind === 'overlay' ? plan.lowers.length : 0).toBe(254);
      await new Mounter({ method: 'mount' }).withMount(plan, join(directory, 'by-mount'), (path) => {
        expect(Object.keys(treeFacts(path))).toEqual(['/', '/from-125', '/from-126']);
        return Promise.resolve();
      });
    });
  });

  describe('has shadows', () => {
    const makeMarked = (): Promise<AufsDriver> =>
      makeStack((path, id) => {
        writeFileSync(join(path, id), '');
        if (id !== base) writeFileSync(join(path, `.wh.${id === top ? middle : base}`), '');
      });

    test('that may all be deleted: they are made again', async () => {
      const driver = await makeMarked();
      const before = await view(driver, top);
      rmSync(join(home, '.layerstore'), { recursive: true });
      expect(await view(await open(), top)).toEqual(before);
    });

    test('that are made once, and again when a layer was written anew', async () => {
      const driver = await makeMarked();
      await driver.createReadWrite(parseLayerId('box'), { parent: top });
      await view(driver, parseLayerId('box'));
      const shadowsOf = (id: LayerId): string[] => readdirSync(join(home, '.layerstore', 'layers', id)).sort();
      const made = shadowsOf(top);
      expect(made.filter((name) => /^[0-9a-f]{40}$/.test(name)).length).toBeGreaterThan(0);
      await view(driver, parseLayerId('box'));
      expect(shadowsOf(top)).toEqual(made);
      writeFileSync(join(home, 'diff', top, '.wh.base'), '');
      rmSync(join(home, 'diff', top, '.wh.middle'));
      expect(Object.keys(await view(driver, parseLayerId('box')))).toEqual(['/', '/middle', '/top']);
    });

    test('for which nothing is looked for in a layer that an archive was applied to', async () => {
      const driver = await makeMarked();
      const diffs = layerDiffs(driver, { workers, mounter });
      const tar = join(directory, 'top.tar');
      await diffs.diff(top, middle, { path: tar });
      const copy = parseLayerId('copy');
      await driver.create(copy, { parent: middle });
      await diffs.applyDiff(copy, { path: tar });
      const path = join(home, 'diff', copy);
      const list = readMarkerList(join(home, '.layerstore', 'layers', copy, 'markers'), path);
      expect(list).toEqual(scanMarkers(path));
      expect(list).toHaveLength(1);
    });

    test('that go with their layer', async () => {
      const driver = await makeMarked();
      await view(driver, top);
      await driver.remove(top);
      expect(readdirSync(join(home, '.layerstore', 'layers'))).not.toContain(top);
    });
  });

  test('warns of pseudo-links in an archive, which stand for links that may be missing', async () => {
    const driver = await makeStack();
    const warnings: unknown[] = [];
    const logger = { debug: () => undefined, info: () => undefined, error: () => undefined };
    const diffs = layerDiffs(driver, {
      workers,
      mounter,
      logger: { ...logger, warn: (fields: unknown) => void warnings.push(fields) },
    });
    const source = join(directory, 'branch');
    mkdirSync(join(source, '.wh..wh.plnk'), { recursive: true });
    writeFileSync(join(source, '.wh..wh.plnk', '13.17'), 'content');
    const tar = join(directory, 'branch.tar');
    await workers.run({ kind: 'export', path: source, to: { path: tar } });
    const applied = parseLayerId('applied');
    await driver.create(applied);
    await diffs.applyDiff(applied, { path: tar });
    expect(warnings).toEqual([{ id: applied, pseudoLinks: 1 }]);
    expect(readdirSync(join(home, 'diff', applied))).toEqual([]);
  });
});
