/** Views of thin images whose process is killed with -9. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseLayerId } from '@layerstore/core';
import { Mounter, mountsBelow, readMountTable, removeTree } from '@layerstore/linux';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { GraphDriver } from '../driver.js';
import { openDriver } from '../registry.js';
import { LayerViews } from '../views/layer-views.js';
import { TestRepository, thinJson } from './testing/test-repository.js';

const [thin, box] = [parseLayerId('thin'), parseLayerId('box')];

/** Opens the view of a layer, mounts it or not, and kills itself. */
const program = `
  import { LayerViews, openDriver } from '@layerstore/drivers';
  import { Mounter } from '@layerstore/linux';
  const { name, home, storageOptions, work } = JSON.parse(process.argv[1]);
  const mounter = new Mounter();
  const driver = await openDriver(name, home, { mounter, storageOptions });
  if (work === 'mount') await new LayerViews(driver, mounter).get('box');
  else if (work === 'open') await driver.openView('box');
  else await driver.hold('box', 'comparison');
  if (process.argv[2] === 'wait') {
    console.log('ready');
    process.stdin.resume();
  } else process.kill(process.pid, 'SIGKILL');
`;
const root = fileURLToPath(new URL('../../../..', import.meta.url));

describe.skipIf(process.geteuid?.() !== 0).each(['aufs', 'overlay2'])('a killed process on %s (needs root)', (name) => {
  let directory: string;
  let home: string;
  let repository: TestRepository;
  const mounter = new Mounter();
  const open = (): Promise<GraphDriver> => openDriver(name, home, { mounter, storageOptions: repository.options });
  const argv = (work: string): string[] => [
    '--input-type=module',
    '--eval',
    program,
    JSON.stringify({ name, home, storageOptions: repository.options, work }),
  ];
  const uses = (): string[] => readdirSync(join(home, '.layerstore', 'thin', 'uses'));
  const locks = (): string[] => readdirSync(join(home, '.layerstore', 'thin', 'locks'));

  beforeEach(async () => {
    directory = realpathSync(mkdtempSync('/dev/shm/layerstore-thin-crash-'));
    home = join(directory, 'home');
    repository = new TestRepository(directory);
    const driver = await open();
    await driver.create(thin);
    const layers = [repository.publish('base', { 'd/file': '1', 'd/other': '2' })];
    layers.push(repository.publish('top', { 'd/.wh.other': '' }));
    writeFileSync(join((await driver.applyTarget(thin)).tree.path, 'thin.json'), thinJson(layers));
    await driver.finishApply(thin);
    await driver.createReadWrite(box, { parent: thin });
  });
  afterEach(async () => {
    for (const entry of mountsBelow(readMountTable(), directory).reverse()) await mounter.unmount(entry.mountPoint);
    removeTree(directory);
  });

  test('leaves a mounted view to the next one, which unmounts it', async () => {
    expect(spawnSync(process.execPath, argv('mount'), { cwd: root }).signal).toBe('SIGKILL');
    const driver = await open();
    const views = new LayerViews(driver, mounter);
    expect(uses()).toEqual([box]);
    const point = driver.mountPoint(box);
    expect(readdirSync(join(point, 'd'))).toEqual(['file']);
    rmSync(join(point, 'd', 'file'));
    expect(await views.get(box)).toBe(point);
    await views.put(box);
    await views.put(box);
    expect([mounter.isMounted(point), uses(), locks()]).toEqual([false, [], []]);
    await using lease = await views.lease(box);
    expect(readdirSync(join(lease.path, 'd'))).toEqual([]);
  });

  test.each(['open', 'hold'])('that had only begun (%s) leaves nothing after the next open', async (work) => {
    expect(spawnSync(process.execPath, argv(work), { cwd: root }).signal).toBe('SIGKILL');
    expect(uses()).toHaveLength(1);
    await open();
    expect([uses(), locks()]).toEqual([[], []]);
  });

  test('that lives keeps what it has opened and not mounted yet', async () => {
    const child = spawn(process.execPath, [...argv('open'), 'wait'], { cwd: root, stdio: ['pipe', 'pipe', 'inherit'] });
    await once(child.stdout, 'data');
    await open();
    expect(uses()).toEqual([box]);
    child.kill('SIGKILL');
    await once(child, 'close');
    await open();
    expect(uses()).toEqual([]);
  });

  test('and what was noted may be deleted: everything is found again', async () => {
    const before = await (await open()).plan(box);
    rmSync(join(home, '.layerstore'), { recursive: true });
    const driver = await open();
    expect(await driver.plan(box)).toEqual(before);
    await using lease = await new LayerViews(driver, mounter).lease(box);
    expect(readFileSync(join(lease.path, 'd', 'file'), 'utf8')).toBe('1');
    expect(existsSync(join(lease.path, 'd', 'other'))).toBe(false);
  });
});
