/** The table in docs/drivers.md against homes as they are made. */
import { chmodSync, chownSync, lstatSync, mkdtempSync, readFileSync, realpathSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseLayerId, type IdMaps } from '@layerstore/core';
import { Mounter, removeTree } from '@layerstore/linux';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { driverNames, openDriver } from './registry.js';
import { LayerViews } from './views/layer-views.js';

interface Row {
  readonly driver: string;
  readonly directory: string;
  readonly mode: string;
  readonly owner: string;
}

const page = readFileSync(new URL('../../../docs/drivers.md', import.meta.url), 'utf8');
const [, section = ''] = page.split('\n## Modes and owners\n');
const rows = [...section.split('\n## ')[0]!.matchAll(/^\| `(\w+)` +\| `([^`]+)` +\| ([^|]+?) +\| ([^|]+?) +\|$/gm)].map(
  ([, driver = '', directory = '', mode = '', owner = '']): Row => ({ driver, directory, mode, owner }),
);

const idMaps: IdMaps = {
  uids: [{ container: 0, host: 100_000, size: 1000 }],
  gids: [{ container: 0, host: 200_000, size: 1000 }],
};
const [base, child] = [parseLayerId('base'), parseLayerId('child')];

test('the table names every driver', () => {
  expect([...new Set(rows.map(({ driver }) => driver))].sort()).toEqual([...driverNames].sort());
});

describe.skipIf(process.geteuid?.() !== 0).each(driverNames)('the directories of %s (need root)', (name) => {
  let directory: string;
  beforeEach(() => {
    directory = realpathSync(mkdtempSync(join(tmpdir(), 'layerstore-modes-')));
  });
  afterEach(() => removeTree(directory));

  test.each([
    ['without id maps', undefined],
    ['with id maps', idMaps],
  ])('%s are as the documentation says, whatever the umask', async (_, maps) => {
    const mounter = new Mounter();
    const [uid, gid] = maps === undefined ? [0, 0] : [100_000, 200_000];
    const before = process.umask(0o077);
    try {
      const options = maps === undefined ? { mounter } : { mounter, idMaps: maps };
      const driver = await openDriver(name, join(directory, 'home'), options);
      await driver.create(base);
      const { tree } = await driver.applyTarget(base);
      expect(shown(tree.path)).toBe(`0755 ${uid}:${gid}`);
      chownSync(tree.path, uid + 1, gid + 2);
      chmodSync(tree.path, 0o1711);
      await driver.createReadWrite(child, { parent: base });
      await using _view = await new LayerViews(driver, mounter).lease(child);
      const owners: Record<string, string> = {
        root: `0:${gid}`,
        'mapped root': `${uid}:${gid}`,
        "parent's": `${uid + 1}:${gid + 2}`,
      };
      for (const row of rows.filter((each) => each.driver === name)) {
        const path = join(driver.home, row.directory.replace('<home>', '.').replace('<id>', child));
        const [mode, owner] = shown(path).split(' ');
        expect([row.directory, owner]).toEqual([row.directory, owners[row.owner]]);
        const expected = row.mode === "parent's" ? '1711' : row.mode === "kernel's" ? mode : row.mode;
        expect([row.directory, mode]).toEqual([row.directory, expected]);
      }
    } finally {
      process.umask(before);
    }
  });
});

function shown(path: string): string {
  const { mode, uid, gid } = lstatSync(path);
  return `${(mode & 0o7777).toString(8).padStart(4, '0')} ${uid}:${gid}`;
}
