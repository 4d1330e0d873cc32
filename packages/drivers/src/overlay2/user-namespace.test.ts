/** overlay2 for those who are root in a user namespace only, as in a rootless engine. */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, realpathSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseLayerId } from '@layerstore/core';
import { Mounter, nativeSyscalls, removeTree } from '@layerstore/linux';
import { ArchiveWorkers } from '@layerstore/archive';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { treeFacts } from '../conformance/tree-facts.js';
import { layerDiffs } from '../layer-diffs.js';
import { openOverlay2 } from './open-overlay2.js';
import { overlayOptions } from './mount-options.js';

/** Makes, edits and compares layers in a namespace in which the caller is root; prints what it sees. */
const program = `
  import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
  import { join } from 'node:path';
  import { ArchiveWorkers } from '@layerstore/archive';
  import { layerDiffs, LayerViews, openDriver } from '@layerstore/drivers';
  import { Mounter } from '@layerstore/linux';
  const [home, tar] = process.argv.slice(1);
  const workers = new ArchiveWorkers({ threads: 1 });
  const mounter = new Mounter();
  const driver = await openDriver('overlay2', home, { mounter, workers });
  const views = new LayerViews(driver, mounter);
  const diffs = layerDiffs(driver, { mounter, workers });
  const inView = async (id, use) => {
    const result = use(await views.get(id));
    await views.put(id);
    return result;
  };
  await driver.create('base');
  await inView('base', (view) => {
    mkdirSync(join(view, 'directory'));
    for (const name of ['directory/hidden', 'gone']) writeFileSync(join(view, name), name);
  });
  await driver.create('layer', { parent: 'base' });
  await inView('layer', (view) => {
    rmSync(join(view, 'directory'), { recursive: true });
    mkdirSync(join(view, 'directory'));
    writeFileSync(join(view, 'directory/new'), 'new');
    rmSync(join(view, 'gone'));
  });
  const changes = await diffs.changes('layer', 'base');
  await diffs.diff('layer', 'base', { path: tar });
  await driver.create('copy', { parent: 'base' });
  await diffs.applyDiff('copy', { path: tar });
  await driver.create('top', { parent: 'copy' });
  const status = Object.fromEntries(await driver.status());
  console.log(JSON.stringify({
    status,
    changes: changes.map(({ kind, path }) => kind + ' ' + path),
    copy: await inView('top', (view) => readdirSync(view, { recursive: true }).sort()),
  }));
  await workers[Symbol.asyncDispose]();
`;

describe('overlayOptions', () => {
  let directory: string;
  beforeEach(() => {
    directory = realpathSync(mkdtempSync(join(tmpdir(), 'layerstore-options-')));
  });
  afterEach(() => removeTree(directory));

  test('asks for user attributes in a user namespace only, and for nothing that the module does not know', () => {
    const [parameters, uidMap] = [join(directory, 'parameters'), join(directory, 'uid_map')];
    mkdirSync(parameters);
    writeFileSync(join(parameters, 'index'), 'N\n');
    writeFileSync(uidMap, '         0          0 4294967295\n');
    expect(overlayOptions({ parameters, uidMap })).toEqual(['index=off']);
    writeFileSync(uidMap, '         0       1000          1\n');
    expect(overlayOptions({ parameters, uidMap })).toEqual(['index=off', 'userxattr']);
  });
});

describe.skipIf(process.geteuid?.() !== 0)(
  'overlay2 in a user namespace (needs root to look at it from outside)',
  () => {
    let directory: string;
    beforeEach(() => {
      directory = realpathSync(mkdtempSync(join(tmpdir(), 'layerstore-userns-')));
      chmodSync(directory, 0o755);
    });
    afterEach(() => removeTree(directory));

    const place = (name: string): string => join(directory, name);
    const runInNamespace = (): { status: Record<string, string>; changes: string[]; copy: string[] } => {
      const argv = ['-Urm', process.execPath, '--input-type=module', '-e', program, place('home'), place('layer.tar')];
      const { status, stdout, stderr } = spawnSync('unshare', argv, {
        cwd: fileURLToPath(new URL('..', import.meta.url)),
        encoding: 'utf8',
      });
      if (status !== 0) throw new Error(stderr);
      return JSON.parse(stdout) as ReturnType<typeof runInNamespace>;
    };

    test('keeps its marks in user attributes, and root outside reads the same layers', async () => {
      const seen = runInNamespace();
      expect(seen.status).toMatchObject({ userxattr: 'true' });
      expect(seen.changes).toEqual([
        'modify /directory',
        'delete /directory/hidden',
        'add /directory/new',
        'delete /gone',
      ]);
      expect(seen.copy).toEqual(['directory', 'directory/new']);
      const mark = (name: string): string | undefined =>
        nativeSyscalls()
          .getXattr(join(place('home'), 'layer', 'diff', 'directory'), name)
          ?.toString();
      expect([mark('user.overlay.opaque'), mark('trusted.overlay.opaque')]).toEqual(['y', undefined]);
      await using workers = new ArchiveWorkers({ threads: 1 });
      const mounter = new Mounter();
      const driver = await openOverlay2(place('home'), { mounter, workers });
      const diffs = layerDiffs(driver, { workers, mounter });
      const changes = await diffs.changes(parseLayerId('layer'), parseLayerId('base'));
      expect(changes.map(({ kind, path }) => `${kind} ${path.toString()}`)).toEqual(seen.changes);
    });

    test('shows a layer that root unpacked outside, because both marks are written', async () => {
      runInNamespace();
      await using workers = new ArchiveWorkers({ threads: 1 });
      const mounter = new Mounter();
      const driver = await openOverlay2(place('outside'), { mounter, workers });
      const [base, layer] = [parseLayerId('base'), parseLayerId('layer')];
      await driver.create(base);
      mkdirSync(join((await driver.applyTarget(base)).tree.path, 'directory'));
      writeFileSync(join((await driver.applyTarget(base)).tree.path, 'directory', 'hidden'), '');
      await driver.create(layer, { parent: base });
      await layerDiffs(driver, { workers, mounter }).applyDiff(layer, { path: place('layer.tar') });
      const lowers = [layer, base].map((id) => join(driver.home, id, 'diff'));
      const asRoot = await mounter.withMount({ kind: 'overlay', lowers, options: [] }, place('view'), (view) =>
        Promise.resolve(Object.keys(treeFacts(view))),
      );
      const script = `mkdir "$1" && mount -t overlay -o "userxattr,lowerdir=$2:$3" overlay "$1" && find "$1" -mindepth 1 -printf '/%P\\n'`;
      const argv = ['-Urm', 'sh', '-c', script, 'sh', place('rootless'), ...lowers];
      const { stdout, stderr } = spawnSync('unshare', argv, { encoding: 'utf8' });
      expect(stderr).toBe('');
      expect(stdout.trim().split('\n').sort()).toEqual(asRoot.filter((path) => path !== '/').sort());
      expect(asRoot).toEqual(['/', '/directory', '/directory/new']);
    });
  },
);
