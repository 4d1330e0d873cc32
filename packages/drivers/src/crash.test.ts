import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, realpathSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseLayerId } from '@layerstore/core';
import { Mounter, removeTree } from '@layerstore/linux';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { treeFacts } from './conformance/tree-facts.js';
import type { GraphDriver } from './driver.js';
import { openDriver, type DriverName } from './registry.js';

const [base, victim] = [parseLayerId('base'), parseLayerId('victim')];

/** Runs in a process of its own, and kills it when the step named last on its command line is reached. */
const program = `
  import { subscribe } from 'node:diagnostics_channel';
  import { openDriver } from '@layerstore/drivers';
  import { Mounter } from '@layerstore/linux';
  const [name, home, operation, step] = process.argv.slice(1);
  const driver = await openDriver(name, home, { mounter: new Mounter() });
  subscribe('layerstore:step', (reached) => {
    if (reached.name === step) process.kill(process.pid, 'SIGKILL');
  });
  const operations = {
    create: () => driver.createReadWrite('victim', { parent: 'base' }),
    remove: () => driver.remove('victim'),
    finishApply: () => driver.finishApply('victim'),
  };
  await operations[operation]();
`;

const steps: readonly (readonly [DriverName, 'create' | 'remove', string])[] = [
  ['aufs', 'create', 'driver.create.built'],
  ['aufs', 'create', 'driver.create.renamed'],
  ['aufs', 'create', 'driver.create.finished'],
  ['aufs', 'remove', 'driver.remove.unlinked'],
  ['aufs', 'remove', 'driver.remove.renamed'],
  ['aufs', 'remove', 'driver.remove.deleted'],
  ['overlay2', 'create', 'driver.create.built'],
  ['overlay2', 'create', 'driver.create.renamed'],
  ['overlay2', 'create', 'driver.create.finished'],
  ['overlay2', 'remove', 'driver.remove.renamed'],
  ['overlay2', 'remove', 'driver.remove.unlinked'],
  ['overlay2', 'remove', 'driver.remove.deleted'],
  ['overlay', 'create', 'driver.create.built'],
  ['overlay', 'create', 'driver.create.renamed'],
  ['overlay', 'create', 'driver.create.finished'],
  ['overlay', 'remove', 'driver.remove.renamed'],
  ['overlay', 'remove', 'driver.remove.unlinked'],
  ['overlay', 'remove', 'driver.remove.deleted'],
  ['vfs', 'create', 'driver.create.built'],
  ['vfs', 'create', 'driver.create.renamed'],
  ['vfs', 'create', 'driver.create.finished'],
  ['vfs', 'remove', 'driver.remove.renamed'],
  ['vfs', 'remove', 'driver.remove.deleted'],
];

describe.skipIf(process.geteuid?.() !== 0)('a process that is killed with -9 (needs root)', () => {
  let home: string;
  beforeEach(() => {
    home = join(realpathSync(mkdtempSync(join(tmpdir(), 'layerstore-crash-'))), 'home');
  });
  afterEach(() => removeTree(join(home, '..')));

  const open = (name: DriverName): Promise<GraphDriver> => openDriver(name, home, { mounter: new Mounter() });

  /** The content of a layer's view. */
  const view = async (driver: GraphDriver, id = victim): Promise<Record<string, string>> =>
    new Mounter().withMount(await driver.openView(id), driver.mountPoint(id), (path) =>
      Promise.resolve(treeFacts(path)),
    );

  const makeBase = async (driver: GraphDriver): Promise<Record<string, string>> => {
    await driver.create(base);
    const { tree } = await driver.applyTarget(base);
    for (let number = 0; number < 200; number++) writeFileSync(join(tree.path, `file-${number}`), `${number}`);
    return view(driver, base);
  };

  const run = (name: DriverName, operation: string, step: string, timeout?: number): NodeJS.Signals | null =>
    spawnSync(process.execPath, ['--input-type=module', '-e', program, name, home, operation, step], {
      cwd: fileURLToPath(new URL('..', import.meta.url)),
      stdio: ['ignore', 'ignore', 'inherit'],
      ...(timeout === undefined ? {} : { timeout, killSignal: 'SIGKILL' }),
    }).signal;

  /** Whole or not there, nothing left over, and the same can be done again. */
  const expectSound = async (name: DriverName, content: Record<string, string>): Promise<'there' | 'absent'> => {
    const driver = await open(name);
    expect(readdirSync(join(home, '.layerstore', 'staging'))).toEqual([]);
    const layers = await driver.list();
    if (name === 'aufs') {
      for (const folder of ['diff', 'mnt', 'layers'])
        expect(readdirSync(join(home, folder)).sort()).toEqual(layers.sort());
      expect(readdirSync(join(home, '.layerstore', 'changing'))).toEqual([]);
    }
    if (name === 'overlay2') expect(readdirSync(join(home, 'l'))).toHaveLength(layers.length);
    const there = layers.includes(victim);
    if (there) expect(await view(driver)).toEqual(content);
    await driver.createReadWrite(victim, { parent: base });
    expect(await view(driver)).toEqual(content);
    await driver.remove(victim);
    expect(await driver.list()).toEqual([base]);
    expect(await view(driver, base)).toEqual(content);
    return there ? 'there' : 'absent';
  };

  test.each(steps)('of %s at %s, step %s, leaves nothing half made', async (name, operation, step) => {
    const driver = await open(name);
    const content = await makeBase(driver);
    if (operation === 'remove') await driver.createReadWrite(victim, { parent: base });
    expect(run(name, operation, step)).toBe('SIGKILL');
    // In an aufs home the file in layers/ makes a layer, which comes last.
    const unfinished = name === 'aufs' ? ['driver.create.built', 'driver.create.renamed'] : ['driver.create.built'];
    const gone = operation === 'remove' || unfinished.includes(step);
    expect(await expectSound(name, content)).toBe(gone ? 'absent' : 'there');
  });

  test.each(['driver.complete.built', 'driver.complete.renamed'])(
    'of overlay, step %s, leaves an image layer that shows the same',
    async (step) => {
      const driver = await open('overlay');
      await makeBase(driver);
      await driver.create(victim, { parent: base });
      writeFileSync(join((await driver.applyTarget(victim)).tree.path, 'own'), 'own');
      const content = await view(driver);
      expect(run('overlay', 'finishApply', step)).toBe('SIGKILL');
      const again = await open('overlay');
      expect(readdirSync(join(home, '.layerstore', 'staging'))).toEqual([]);
      const complete = step === 'driver.complete.renamed';
      expect(readdirSync(join(home, victim)).sort()).toEqual(complete ? ['root'] : ['lower-id', 'upper', 'work']);
      expect(await view(again)).toEqual(content);
      await again.finishApply(victim);
      expect(readdirSync(join(home, victim))).toEqual(['root']);
      expect(await view(again)).toEqual(content);
    },
  );

  test.each(['aufs', 'overlay2', 'overlay', 'vfs'] as const)(
    'of %s at any time leaves nothing half made',
    async (name) => {
      const content = await makeBase(await open(name));
      const start = performance.now();
      expect(run(name, 'create', 'none')).toBeNull();
      const whole = performance.now() - start;
      await (await open(name)).remove(victim);
      for (let round = 1; round <= 8; round++) {
        run(name, 'create', 'none', Math.max(1, Math.round(whole * (0.6 + round * 0.05))));
        await expectSound(name, content);
      }
    },
  );
});
