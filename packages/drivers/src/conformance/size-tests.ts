import { linkSync, lstatSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseLayerId } from '@layerstore/core';
import { AT_FDCWD, nativeSyscalls } from '@layerstore/linux';
import { expect, test } from 'vitest';
import { editingTest } from './editing-test.js';
import { base, editFiles, makeFiles, sibling, snapshot } from './sample-layers.js';
import type { Conformance } from './subject.js';

const links = parseLayerId('links');
const target = 'a target of a symlink';

/** What sizes are: the rule that the driver names. */
export function sizeTests(conformance: Conformance): void {
  test('hard links count once, and symlinks by their length', async () => {
    await using home = await conformance.openHome();
    await home.driver.create(links);
    await home.fill(links, (view) => {
      writeFileSync(join(view, 'file'), 'x'.repeat(1000));
      linkSync(join(view, 'file'), join(view, 'second name'));
      symlinkSync(target, join(view, 'symlink'));
    });
    expect(await home.diffs.diffSize(links, undefined)).toBe(1000 + target.length);
  });

  test('an applied layer has the size that the rule of the driver says', async () => {
    await using home = await conformance.openHome();
    await home.driver.create(links);
    await home.fill(links, (view) => {
      writeFileSync(join(view, 'file'), 'x'.repeat(1000));
      symlinkSync(target, join(view, 'symlink'));
    });
    const tar = join(home.directory, 'layer.tar');
    await home.diffs.diff(links, undefined, { path: tar });
    await home.driver.create(sibling);
    const { size } = await home.diffs.applyDiff(sibling, { path: tar });
    const { sizeRule } = home.driver.abilities;
    expect(size).toBe(sizeRule === 'lstat' ? 1000 + target.length : 1000);
  });

  editingTest(conformance, 'a diff and the layer made of it have one size', async (home) => {
    await makeFiles(home, base, 50);
    await home.driver.create(snapshot, { parent: base });
    await home.inView(snapshot, editFiles);
    const tar = join(home.directory, 'diff.tar');
    await home.diffs.diff(snapshot, base, { path: tar });
    await home.driver.create(sibling, { parent: base });
    const applied = await home.diffs.applyDiff(sibling, { path: tar });
    const size = 10 * 'new 0'.length + 'added'.length;
    expect(await home.diffs.diffSize(snapshot, base)).toBe(size);
    expect(await home.diffs.diffSize(sibling, base)).toBe(size);
    expect(applied.size).toBe(size);
  });

  editingTest(
    conformance,
    'a file that was touched and is as before counts by the rule of the driver',
    async (home) => {
      await makeFiles(home, base, 10);
      await home.driver.create(snapshot, { parent: base });
      const size = await home.inView(snapshot, (view) => {
        const path = join(view, 'dir-0/file-7');
        const { size, atimeNs, mtimeNs } = statSync(path, { bigint: true });
        nativeSyscalls().utimensat(AT_FDCWD, path, atimeNs, mtimeNs, 0);
        return Number(size);
      });
      expect(await home.diffs.changes(snapshot, base)).toEqual([]);
      const inLayer = home.driver.abilities.sizeRule === 'lstat';
      expect(await home.diffs.diffSize(snapshot, base)).toBe(inLayer ? size : 0);
    },
  );

  test('against no parent the size of a view is the size of all its files', async () => {
    await using home = await conformance.openHome();
    await makeFiles(home, base, 30);
    await home.driver.createReadWrite(snapshot, { parent: base });
    const expected = await home.inView(snapshot, (view) =>
      readdirSync(view, { recursive: true, encoding: 'utf8' })
        .map((name) => lstatSync(join(view, name)))
        .reduce((sum, status) => (status.isFile() ? sum + status.size : sum), 0),
    );
    expect(await home.diffs.diffSize(snapshot, undefined)).toBe(expected);
  });
}
