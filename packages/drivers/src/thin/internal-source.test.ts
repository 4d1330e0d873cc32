/**
 * Repositories by the program of the standard client. A stand-in takes its place: it notes how it was called and shows a directory.
 * What the genuine program answers is not tested here.
 */
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseLayerId } from '@layerstore/core';
import { Mounter, mountsBelow, readMountTable, removeTree } from '@layerstore/linux';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { GraphDriver } from '../driver.js';
import { openDriver } from '../registry.js';
import { LayerViews } from '../views/layer-views.js';
import { TestRepository, thinJson } from './testing/test-repository.js';

const [thin, box, other] = [parseLayerId('thin'), parseLayerId('box'), parseLayerId('other')];

describe.skipIf(process.geteuid?.() !== 0)('repositories by an installed client (needs root)', () => {
  let directory: string;
  let repository: TestRepository;
  let program: string;
  let driver: GraphDriver;
  let views: LayerViews;
  const mounter = new Mounter();
  const open = (): Promise<GraphDriver> =>
    openDriver('overlay2', join(directory, 'home'), {
      mounter,
      storageOptions: { cvmfsMountMethod: 'internal', 'thin.keys': repository.keys, 'thin.program': program },
    });
  beforeEach(async () => {
    directory = realpathSync(mkdtempSync('/dev/shm/layerstore-internal-'));
    repository = new TestRepository(directory);
    program = join(directory, 'cvmfs2');
    standIn(`mount --bind "${join(directory, 'mounts')}/$3" "$4"`);
    driver = await open();
    views = new LayerViews(driver, mounter);
    await driver.create(thin);
    const { tree } = await driver.applyTarget(thin);
    writeFileSync(
      join(tree.path, 'thin.json'),
      thinJson([repository.publish('base', { file: 'from the repository' })]),
    );
    await driver.finishApply(thin);
    for (const id of [box, other]) await driver.createReadWrite(id, { parent: thin });
  });
  afterEach(async () => {
    for (const entry of mountsBelow(readMountTable(), directory).reverse()) await mounter.unmount(entry.mountPoint);
    removeTree(directory);
  });

  /** A program with one line of its own, which gets arguments as the client does. */
  const standIn = (line: string): void => {
    const noted = `for word; do printf '%s\\n' "$word"; done >> "${program}.calls"`;
    writeFileSync(program, `#!/bin/sh\n${noted}\n${line}\n`);
    chmodSync(program, 0o755);
  };
  const calls = (): string[] => readFileSync(`${program}.calls`, 'utf8').trim().split('\n');
  const place = (name = ''): string =>
    join(directory, 'home', '.layerstore', 'thin', 'repositories', repository.name, name);
  const isMounted = (): boolean => mounter.isMounted(place('root'));

  test('are mounted by the first view, and unmounted after the last; then mounted again', async () => {
    for (let round = 1; round <= 2; round++) {
      for (const id of [box, other, box]) await views.get(id);
      expect(readFileSync(join(driver.mountPoint(other), 'file'), 'utf8')).toBe('from the repository');
      expect([isMounted(), readdirSync(place('users')).length]).toEqual([true, 2]);
      await views.put(box);
      await views.put(other);
      expect([isMounted(), readdirSync(place('users')).length]).toEqual([true, 1]);
      await views.put(box);
      expect([isMounted(), readdirSync(place('users')).length]).toEqual([false, 0]);
      // Once in each round: -o OPTIONS REPOSITORY MOUNT-POINT.
      expect(calls()).toHaveLength(4 * round);
    }
    expect(calls().slice(2, 4)).toEqual([repository.name, place('root')]);
  });

  test('get their arguments as they are: no shell reads them', async () => {
    const strange = join(directory, 'a $(touch there) `dir`; x');
    driver = await openDriver('overlay2', join(directory, 'home'), {
      mounter,
      storageOptions: {
        cvmfsMountMethod: 'internal',
        cvmfsMountPath: strange,
        'thin.keys': repository.keys,
        'thin.program': program,
      },
    });
    await using _lease = await new LayerViews(driver, mounter).lease(box);
    expect(calls()[3]).toBe(join(strange, repository.name, 'root'));
    expect(existsSync(join(directory, 'there'))).toBe(false);
  });

  test.each([
    [
      'fails',
      'echo "Failed to initialize root file catalog (16)" >&2; exit 16',
      'ERR_MOUNT_FAILED',
      'root file catalog',
    ],
    ['mounts nothing', 'true', 'ERR_MOUNT_FAILED', 'mounted nothing'],
  ])('of a program that %s are not counted as in use', async (_what, line, code, text) => {
    standIn(line);
    await expect(views.get(box)).rejects.toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(text) as string }),
    );
    expect(readdirSync(place('users'))).toEqual([]);
    standIn(`mount --bind "${join(directory, 'mounts')}/$3" "$4"`);
    await views.get(box);
    expect(isMounted()).toBe(true);
  });

  test('say so where the program is not installed', async () => {
    driver = await openDriver('overlay2', join(directory, 'home'), {
      mounter,
      storageOptions: {
        cvmfsMountMethod: 'internal',
        'thin.keys': repository.keys,
        'thin.program': join(directory, 'none'),
      },
    });
    await expect(new LayerViews(driver, mounter).get(box)).rejects.toMatchObject({ code: 'ERR_MISSING_PREREQUISITE' });
  });

  test('that a dead process left for a view which is not there are unmounted by the next open', async () => {
    await views.get(box);
    await mounter.unmount(driver.mountPoint(box));
    // Its process lives: it may be about to mount the view.
    await (await open()).cleanup();
    expect(isMounted()).toBe(true);
    removeTree(join(directory, 'home', '.layerstore', 'thin', 'locks'));
    await open();
    expect([isMounted(), readdirSync(place('users'))]).toEqual([false, []]);
  });
});
