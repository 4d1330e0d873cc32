/** Layers that were written in other ways than layerstore's: with redirects and metacopy, or before the home had id maps. */
import {
  chmodSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ArchiveWorkers } from '@layerstore/archive';
import { parseLayerId, type IdMaps } from '@layerstore/core';
import { Mounter, nativeSyscalls, removeTree } from '@layerstore/linux';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { treeFacts } from '../conformance/tree-facts.js';
import type { DriverOptions } from '../driver-options.js';
import { layerDiffs, type LayerDiffs } from '../layer-diffs.js';
import { LayerViews } from '../views/layer-views.js';
import { openOverlay2 } from './open-overlay2.js';
import type { Overlay2Driver } from './overlay2-driver.js';

const [base, second, init, box, copy] = ['base', 'second', 'box-init', 'box', 'copy'].map(parseLayerId) as [
  never,
  never,
  never,
  never,
  never,
];
const idMaps: IdMaps = {
  uids: [{ container: 0, host: 100_000, size: 65_536 }],
  gids: [{ container: 0, host: 200_000, size: 65_536 }],
};

describe.skipIf(process.geteuid?.() !== 0)('overlay2 understands (needs root)', () => {
  const workers = new ArchiveWorkers({ threads: 1 });
  afterAll(() => workers[Symbol.asyncDispose]());
  const mounter = new Mounter();
  let directory: string;
  let driver: Overlay2Driver;
  let diffs: LayerDiffs;
  let views: LayerViews;
  beforeEach(async () => {
    directory = realpathSync(mkdtempSync(join(tmpdir(), 'layerstore-foreign-')));
    await open();
  });
  afterEach(() => removeTree(directory));

  const open = async (options: Partial<DriverOptions> = {}): Promise<void> => {
    driver = await openOverlay2(join(directory, 'home'), { mounter, workers, ...options });
    diffs = layerDiffs(driver, { workers, mounter });
    views = new LayerViews(driver, mounter);
  };
  const treeOf = async (id: never): Promise<string> => (await driver.applyTarget(id)).tree.path;
  const inView = async <Result>(id: never, use: (view: string) => Result, readOnly = false): Promise<Result> => {
    await using view = await views.lease(id, { readOnly });
    return use(view.path);
  };
  const makeBase = async (): Promise<void> => {
    await driver.create(base);
    mkdirSync(join(await treeOf(base), 'directory'));
    for (const name of ['file', 'directory/inside']) writeFileSync(join(await treeOf(base), name), name);
  };

  test('redirects and metacopy: views, changes and diffs are those of the mount that wrote them', async () => {
    await makeBase();
    await driver.create(second, { parent: base });
    const plan = await driver.plan(second);
    if (plan.kind !== 'overlay') throw new Error('a layer with a parent is an overlay');
    const expected = await mounter.withMount(
      { ...plan, options: ['redirect_dir=on', 'metacopy=on'] },
      driver.mountPoint(second),
      (view) => {
        chmodSync(join(view, 'file'), 0o600);
        renameSync(join(view, 'directory'), join(view, 'renamed'));
        return Promise.resolve(treeFacts(view));
      },
    );
    const own = await treeOf(second);
    expect(nativeSyscalls().getXattr(join(own, 'file'), 'trusted.overlay.metacopy')).toBeDefined();
    expect(nativeSyscalls().getXattr(join(own, 'renamed'), 'trusted.overlay.redirect')?.toString()).toBe('directory');
    await driver.createReadWrite(box, { parent: second });
    for (const id of [second, box]) expect(await inView(id, treeFacts, true)).toEqual(expected);
    expect(await inView(box, (view) => readFileSync(join(view, 'file'), 'utf8'), true)).toBe('file');
    const changes = await diffs.changes(second, base);
    expect(changes.map(({ kind, path }) => `${kind} ${path.toString()}`)).toEqual([
      'delete /directory',
      'modify /file',
      'add /renamed',
      'add /renamed/inside',
    ]);
    const tar = join(directory, 'second.tar');
    await diffs.diff(second, base, { path: tar });
    await driver.create(copy, { parent: base });
    await diffs.applyDiff(copy, { path: tar });
    expect(await inView(copy, treeFacts)).toEqual(expected);
  });

  test('layers from before the home had id maps: they are shown mapped, and stay as they are', async () => {
    await makeBase();
    lchownSync(join(await treeOf(base), 'file'), 5, 6);
    await driver.create(second, { parent: base });
    writeFileSync(join(await treeOf(second), 'second'), '');
    await open({ idMaps });
    await driver.createReadWrite(init, { parent: second });
    await inView(init, (view) => {
      writeFileSync(join(view, 'init'), '');
      lchownSync(join(view, 'init'), 100_000, 200_000);
    });
    await driver.createReadWrite(box, { parent: init });
    expect(await driver.plan(box)).toMatchObject({ idMaps, unmappedLowers: 1 });
    const owner = (...path: string[]): string => {
      const { uid, gid } = lstatSync(join(...path));
      return `${uid}:${gid}`;
    };
    const owners = (view: string): string[] => ['', 'file', 'second', 'init'].map((path) => owner(view, path));
    const mapped = ['100000:200000', '100005:200006', '100000:200000', '100000:200000'];
    expect(await inView(box, owners)).toEqual(mapped);
    await inView(box, (view) => writeFileSync(join(view, 'file'), 'changed'));
    expect(owner(await treeOf(base), 'file')).toBe('5:6');
    expect(owner(await treeOf(box), 'file')).toBe('100005:200006');
    expect(await inView(second, (view) => owner(view, 'file'))).toBe('100005:200006');
    expect(await inView(base, (view) => owner(view, 'file'))).toBe('100005:200006');
    const changes = await diffs.changes(box, init);
    expect(changes.map(({ kind, path }) => `${kind} ${path.toString()}`)).toEqual(['modify /file']);
    const tar = join(directory, 'box.tar');
    await diffs.diff(box, init, { path: tar });
    await driver.create(copy, { parent: init });
    await diffs.applyDiff(copy, { path: tar });
    expect(await inView(copy, owners)).toEqual(mapped);
    expect((await diffs.changes(box, undefined)).map(({ path }) => path.toString())).toContain('/second');
  });
});
