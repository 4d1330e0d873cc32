/** kill -9 at every step of the translation of a writable layer: the next open finishes what was begun. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseLayerId } from '@layerstore/core';
import { AT_FDCWD, Mounter, mountsBelow, nativeSyscalls, readMountTable, removeTree, S_IFCHR } from '@layerstore/linux';
import { ArchiveWorkers } from '@layerstore/archive';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { treeFacts } from '../conformance/tree-facts.js';
import { layerDiffs } from '../layer-diffs.js';
import { LayerViews } from '../views/layer-views.js';
import type { AufsDriver } from './aufs-driver.js';
import { openAufs } from './open-aufs.js';

const [base, box] = [parseLayerId('base'), parseLayerId('box')];

/** Edits a view and lets it go; the process is killed at the n-th time that the named step is reached. */
const program = `
  import { subscribe } from 'node:diagnostics_channel';
  import { mkdirSync, rmSync, writeFileSync, utimesSync } from 'node:fs';
  import { LayerViews, openAufs } from '@layerstore/drivers';
  import { Mounter } from '@layerstore/linux';
  const [home, step, count] = process.argv.slice(1);
  const mounter = new Mounter();
  const driver = await openAufs(home, { mounter, engine: 'overlay' });
  let left = Number(count);
  subscribe('layerstore:step', (reached) => {
    if (reached.name === step && (left -= 1) === 0) process.kill(process.pid, 'SIGKILL');
  });
  const views = new LayerViews(driver, mounter);
  const view = await views.get('box');
  rmSync(view + '/etc', { recursive: true });
  mkdirSync(view + '/etc');
  writeFileSync(view + '/etc/own', 'own');
  rmSync(view + '/kept/two');
  writeFileSync(view + '/gone', 'again');
  for (const path of ['/etc/own', '/gone']) utimesSync(view + path, 1000, 1000);
  if (step === 'mounted') process.kill(process.pid, 'SIGKILL');
  await views.put('box');
`;

describe.skipIf(process.geteuid?.() !== 0)('the translation of a writable layer (needs root)', () => {
  let directory: string;
  let home: string;
  const workers = new ArchiveWorkers({ threads: 1 });
  const mounter = new Mounter();
  afterAll(() => workers[Symbol.asyncDispose]());
  beforeEach(async () => {
    directory = realpathSync(mkdtempSync('/dev/shm/layerstore-translation-'));
    home = join(directory, 'home');
    await makeHome(home);
  });
  afterEach(async () => {
    for (const entry of mountsBelow(readMountTable(), directory).reverse()) await mounter.unmount(entry.mountPoint);
    removeTree(directory);
  });

  const open = async (): Promise<AufsDriver> => {
    const driver = await openAufs(home, { mounter, workers, engine: 'overlay' });
    await driver.cleanup();
    return driver;
  };
  const rawFacts = (): Record<string, string> => treeFacts(join(home, 'diff', 'box'));
  const viewFacts = async (driver: AufsDriver): Promise<Record<string, string>> => {
    await using view = await new LayerViews(driver, mounter).lease(box, { readOnly: true });
    return treeFacts(view.path);
  };
  const run = (step: string, count = 1): NodeJS.Signals | null =>
    spawnSync(process.execPath, ['--input-type=module', '-e', program, home, step, String(count)], {
      cwd: fileURLToPath(new URL('../..', import.meta.url)),
      stdio: ['ignore', 'ignore', 'inherit'],
    }).signal;

  test.each([
    ['driver.view.opening', 1],
    ['driver.view.directory', 1],
    ['driver.view.directory', 2],
    ['driver.view.translated', 1],
    ['driver.view.opened', 1],
  ])('that is killed on the way there, at %s (%i), is taken back: nothing has changed', async (step, count) => {
    const [raw, times] = [rawFacts(), directoryTimes(join(home, 'diff', 'box'))];
    const view = await viewFacts(await open());
    expect(run(step, count)).toBe('SIGKILL');
    expect(existsSync(join(home, '.layerstore', 'open', 'box', 'record'))).toBe(true);
    const driver = await open();
    expect(rawFacts()).toEqual(raw);
    expect(directoryTimes(join(home, 'diff', 'box'))).toEqual(times);
    expect(readdirSync(join(home, '.layerstore', 'open'))).toEqual([]);
    expect(await viewFacts(driver)).toEqual(view);
  });

  test.each([
    ['driver.view.closing', 1],
    ['driver.view.directory', 4],
    ['driver.view.directory', 5],
    ['driver.view.directory', 6],
    ['driver.view.restored', 1],
    ['driver.view.closed', 1],
  ])(
    'that is killed on the way back, at %s (%i), is finished: the edits are there in aufs form',
    async (step, count) => {
      expect(run(step, count)).toBe('SIGKILL');
      const driver = await open();
      expectEdited(rawFacts());
      expect(readdirSync(join(home, '.layerstore', 'open'))).toEqual([]);
      const view = await viewFacts(driver);
      expect(Object.keys(view)).toEqual([
        '/',
        '/etc',
        '/etc/own',
        '/gone',
        '/kept',
        '/kept/one',
        '/made',
        '/made/file',
        '/opaque',
        '/opaque/own',
      ]);
    },
  );

  test('with a view that outlives its process stays in overlay form until the view is gone', async () => {
    rmSync(join(home, 'diff', 'box', 'node'));
    expect(run('mounted')).toBe('SIGKILL');
    const driver = await open();
    const views = new LayerViews(driver, mounter);
    const diffs = layerDiffs(driver, { workers, mounter });
    expect(mounter.isMounted(driver.mountPoint(box))).toBe(true);
    const live = await diffs.changes(box, base);
    expect(live.map(({ kind, path }) => `${kind} ${path.toString()}`)).toEqual(expectedChanges);
    const size = await diffs.diffSize(box, base);
    const tar = join(directory, 'live.tar');
    const written = await diffs.diff(box, base, { path: tar });
    await views.unmount(box);
    expectEdited(rawFacts());
    expect(await diffs.changes(box, base)).toEqual(live);
    expect(await diffs.diffSize(box, base)).toBe(size);
    expect(await diffs.diff(box, base, { path: join(directory, 'rest.tar') })).toEqual(written);
  });

  test('is not undone while another process has the view open, and follows when that one lets go', async () => {
    const [one, other] = [await open(), await open()];
    await one.openView(box);
    await other.openView(box);
    await one.closeView(box);
    expect(existsSync(join(home, 'diff', 'box', '.wh.gone'))).toBe(false);
    await open();
    expect(existsSync(join(home, 'diff', 'box', '.wh.gone'))).toBe(false);
    await other.closeView(box);
    expect(existsSync(join(home, 'diff', 'box', '.wh.gone'))).toBe(true);
  });

  test.each(['detached', 'in another mount namespace'])(
    'waits for a view that is %s and still in use',
    async (where) => {
      const driver = await open();
      const views = new LayerViews(driver, mounter);
      const view = await views.get(box);
      const user =
        where === 'detached'
          ? spawn('sh', ['-c', 'echo; read line'], { cwd: view, stdio: ['pipe', 'pipe', 'inherit'] })
          : spawn('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', `cd ${view}; echo; read line`]);
      await once(user.stdout, 'data');
      await mounter.detach(view);
      await driver.closeView(box);
      expect(existsSync(join(home, 'diff', 'box', '.wh.gone'))).toBe(false);
      user.stdin.end();
      await once(user, 'close');
      await open();
      expect(existsSync(join(home, 'diff', 'box', '.wh.gone'))).toBe(true);
    },
  );

  test('waits for a mount that shows the layer as it is', async () => {
    const driver = await open();
    const place = join(directory, 'elsewhere');
    const plan = await driver.openView(box, { readOnly: true });
    await mounter.withMount(plan, place, async () => {
      await expect(driver.openView(box)).rejects.toMatchObject({
        code: 'ERR_BUSY',
        message: expect.stringContaining(place) as string,
      });
    });
    await driver.openView(box);
    await driver.closeView(box);
  });

  test('refuses a name that aufs has no room for, loses nothing, and works when it is renamed', async () => {
    const driver = await open();
    const views = new LayerViews(driver, mounter);
    const view = await views.get(box);
    writeFileSync(join(view, '.wh.mine'), 'data');
    rmSync(join(view, 'kept', 'one'));
    await expect(views.put(box)).rejects.toMatchObject({
      code: 'ERR_NOT_SUPPORTED',
      subject: join(home, 'diff', 'box', '.wh.mine'),
    });
    const again = new LayerViews(await open(), mounter);
    const same = await again.get(box);
    expect(Object.keys(treeFacts(same))).toContain('/.wh.mine');
    expect(existsSync(join(same, 'kept', 'one'))).toBe(false);
    rmSync(join(same, '.wh.mine'));
    await again.put(box);
    await driver.closeView(box);
    expect(lstatSync(join(home, 'diff', 'box', 'kept', '.wh.one')).isFile()).toBe(true);
  });
});

/**
 * A base and a container as a kernel's aufs leaves it: bookkeeping, a pseudo-link that was not flushed, whiteouts that are
 * hard links, an opaque directory, a name beside its own whiteout, a device 0:0.
 */
async function makeHome(home: string): Promise<void> {
  const driver = await openAufs(home, { mounter: new Mounter(), engine: 'overlay' });
  await driver.create(base);
  const lower = (await driver.applyTarget(base)).tree.path;
  for (const name of ['etc', 'kept', 'opaque', 'beside']) mkdirSync(join(lower, name));
  for (const name of ['etc/a', 'etc/b', 'kept/one', 'kept/two', 'opaque/lower', 'gone', 'node']) {
    writeFileSync(join(lower, name), name);
  }
  await driver.createReadWrite(box, { parent: base });
  const upper = (await driver.applyTarget(box)).tree.path;
  writeFileSync(join(upper, '.wh..wh.aufs'), '', { mode: 0o444 });
  for (const name of ['.wh..wh.orph', '.wh..wh.plnk']) mkdirSync(join(upper, name), { mode: 0o700 });
  for (const name of ['etc', 'opaque', 'made']) mkdirSync(join(upper, name));
  for (const name of ['.wh.gone', '.wh.beside', 'etc/.wh.a', 'opaque/.wh..wh..opq']) {
    linkSync(join(upper, '.wh..wh.aufs'), join(upper, name));
  }
  mkdirSync(join(upper, 'beside'));
  for (const name of ['opaque/own', 'made/file', 'beside/hidden', '.wh..wh.plnk/13.17']) {
    writeFileSync(join(upper, name), name);
  }
  nativeSyscalls().mknodat(AT_FDCWD, join(upper, 'node'), S_IFCHR | 0o640, 0, 0);
  for (const name of ['etc', 'opaque', '.']) utimesSync(join(upper, name), 5000, 6000);
}

const expectedChanges = [
  'delete /beside',
  'modify /etc',
  'delete /etc/a',
  'delete /etc/b',
  'add /etc/own',
  'modify /gone',
  'modify /kept',
  'delete /kept/two',
  'add /made',
  'add /made/file',
  'modify /opaque',
  'delete /opaque/lower',
  'add /opaque/own',
];

/** The layer in aufs form: old and new whiteouts are links of the branch's base, what was parked is back. */
function expectEdited(raw: Record<string, string>): void {
  const whiteouts = ['/.wh.beside', '/etc/.wh..wh..opq', '/kept/.wh.two', '/opaque/.wh..wh..opq'];
  const others = ['/', '/.wh..wh.aufs', '/.wh..wh.orph', '/.wh..wh.plnk', '/.wh..wh.plnk/13.17', '/beside'];
  others.push('/beside/hidden', '/etc', '/etc/own', '/gone', '/kept', '/made', '/made/file', '/opaque', '/opaque/own');
  const nodes = Object.keys(raw).filter((path) => path === '/node');
  expect(Object.keys(raw).sort()).toEqual([...whiteouts, ...others, ...nodes].sort());
  for (const path of whiteouts) expect([path, raw[path]]).toEqual([path, 'hard link to /.wh..wh.aufs']);
  expect(raw['/.wh..wh.aufs']).toMatch(/^file 0444 0:0 0 bytes /);
  for (const path of nodes) expect(raw[path]).toMatch(/^character device 0 0640 0:0/);
}

function directoryTimes(root: string): Record<string, bigint> {
  const names = readdirSync(root, { recursive: true, encoding: 'utf8' });
  const statuses = ['.', ...names].map((name) => [name, lstatSync(join(root, name), { bigint: true })] as const);
  return Object.fromEntries(
    statuses.filter(([, status]) => status.isDirectory()).map(([name, s]) => [name, s.mtimeNs]),
  );
}
