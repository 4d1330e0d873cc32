/** Owners in homes that are opened with id maps: the host's on disk and in views, the container's in archives. */
import { execFileSync } from 'node:child_process';
import { lchownSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ArchiveWorkers } from '@layerstore/archive';
import { parseLayerId, type IdMaps } from '@layerstore/core';
import { Mounter, removeTree } from '@layerstore/linux';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { GraphDriver } from './driver.js';
import { layerDiffs, type LayerDiffs } from './layer-diffs.js';
import { driverNames, openDriver } from './registry.js';
import { LayerViews } from './views/layer-views.js';

const [base, second, box, copy] = ['base', 'second', 'box', 'copy'].map(parseLayerId) as [never, never, never, never];
const idMaps: IdMaps = {
  uids: [{ container: 0, host: 100_000, size: 1000 }],
  gids: [
    { container: 0, host: 200_000, size: 100 },
    { container: 100, host: 100, size: 1 },
  ],
};

describe.skipIf(process.geteuid?.() !== 0).each(driverNames)('id maps in %s (need root)', (name) => {
  const workers = new ArchiveWorkers({ threads: 1 });
  afterAll(() => workers[Symbol.asyncDispose]());
  const mounter = new Mounter();
  let directory: string;
  let driver: GraphDriver;
  let diffs: LayerDiffs;
  let views: LayerViews;
  beforeEach(async () => {
    directory = realpathSync(mkdtempSync(join(tmpdir(), 'layerstore-id-maps-')));
    driver = await openDriver(name, join(directory, 'home'), { mounter, workers, idMaps });
    diffs = layerDiffs(driver, { workers, mounter });
    views = new LayerViews(driver, mounter);
  });
  afterEach(() => removeTree(directory));

  const ownerOf = (...path: string[]): string => {
    const { uid, gid } = lstatSync(join(...path));
    return `${uid}:${gid}`;
  };
  const owners = (view: string): Record<string, string> =>
    Object.fromEntries(['', 'd', 'd/file', 'd/link', 'implied'].map((path) => [path, ownerOf(view, path)]));
  const expected = {
    '': '100000:200000',
    d: '100001:200002',
    'd/file': '100003:100',
    'd/link': '100000:200007',
    implied: '100000:200000',
  };
  const inView = async <Result>(id: never, use: (view: string) => Result): Promise<Result> => {
    await using view = await views.lease(id);
    return use(view.path);
  };
  /** A tar of GNU tar with the container's owners. */
  const packed = (): string => {
    const tree = join(directory, 'tree');
    const script = `mkdir d implied; echo x > d/file; ln -s file d/link; touch implied/y
      chown 1:2 d; chown 3:100 d/file; chown -h 0:7 d/link`;
    mkdirSync(tree);
    execFileSync('sh', ['-ec', script], { cwd: tree });
    execFileSync('tar', ['-C', tree, '--no-recursion', '-cf', `${tree}.tar`, 'd', 'd/file', 'd/link', 'implied/y']);
    return `${tree}.tar`;
  };
  const listed = (tar: string): string[] =>
    execFileSync('tar', ['--numeric-owner', '-tvf', tar], { encoding: 'utf8' })
      .trim()
      .split('\n')
      .map((line) => line.split(/\s+/))
      .map((words) => `${words[1]?.replace('/', ':')} ${words[5]}`);

  test('make what is new the property of the container’s root', async () => {
    await driver.create(base);
    await driver.createReadWrite(box, { parent: base });
    for (const id of [base, box]) expect(await inView(id, (view) => ownerOf(view))).toBe('100000:200000');
    expect(lstatSync(driver.home).gid).toBe(200_000);
    const plan = await driver.plan(box);
    if (plan.kind !== 'overlay') return;
    await inView(box, () => {
      expect(ownerOf(plan.upper?.work ?? '', 'work')).toBe('100000:200000');
    });
  });

  test('translate the owners of an archive, and back in a diff', async () => {
    await driver.create(base);
    await diffs.applyDiff(base, { path: packed() });
    expect(await inView(base, owners)).toEqual(expected);
    await driver.create(second, { parent: base });
    await driver.createReadWrite(box, { parent: second });
    await inView(box, (view) => {
      writeFileSync(join(view, 'new'), 'new');
      lchownSync(join(view, 'new'), 100_005, 100);
      lchownSync(join(view, 'd/file'), 100_000, 200_000);
    });
    const changes = await diffs.changes(box, second);
    expect(changes.map(({ kind, path }) => `${kind} ${path.toString()}`)).toEqual([
      'modify /d',
      'modify /d/file',
      'add /new',
    ]);
    for (const tarRules of ['layerstore', 'docker'] as const) {
      const tar = join(directory, `${tarRules}.tar`);
      await diffs.diff(box, second, { path: tar }, { tarRules });
      expect(listed(tar).filter((line) => !line.endsWith(' ./'))).toEqual(['1:2 d/', '0:0 d/file', '5:100 new']);
    }
    const whole = join(directory, 'whole.tar');
    await diffs.diff(box, undefined, { path: whole });
    expect(listed(whole)).toEqual(expect.arrayContaining(['0:0 ./', '1:2 d/', '0:0 implied/', '5:100 new']));
    await driver.create(copy, { parent: second });
    await diffs.applyDiff(copy, { path: join(directory, 'layerstore.tar') });
    expect(await inView(copy, (view) => ownerOf(view, 'new'))).toBe('100005:100');
    expect(await inView(copy, owners)).toEqual({ ...expected, 'd/file': '100000:200000' });
  });

  test('refuse an owner that they leave out, on the way in and out, and name the file', async () => {
    await driver.create(base);
    const tree = join(directory, 'tree');
    mkdirSync(tree);
    writeFileSync(join(tree, 'stranger'), '');
    lchownSync(join(tree, 'stranger'), 1000, 0);
    execFileSync('tar', ['-C', tree, '-cf', `${tree}.tar`, 'stranger']);
    const refused = { code: 'ERR_ID_NOT_MAPPED', message: expect.stringContaining('stranger') as string };
    await expect(diffs.applyDiff(base, { path: `${tree}.tar` })).rejects.toMatchObject(refused);
    await driver.create(second);
    await driver.createReadWrite(box, { parent: second });
    await inView(box, (view) => writeFileSync(join(view, 'stranger'), ''));
    await expect(diffs.diff(box, second, { path: join(directory, 'out.tar') })).rejects.toMatchObject(refused);
  });

  test('are checked before anything is made', async () => {
    const home = join(directory, 'other');
    const wrong = { uids: [{ container: 0, host: 1, size: 0 }], gids: idMaps.gids };
    await expect(openDriver(name, home, { mounter, idMaps: wrong })).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
    });
    expect(readdirSync(directory)).toEqual(['home']);
  });
});
