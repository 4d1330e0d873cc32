import { mkdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Change } from '@layerstore/archive';
import { parseLayerId } from '@layerstore/core';
import { expect, test } from 'vitest';
import { editingTest } from './editing-test.js';
import { base, editFiles, makeBase, makeFiles, sibling, snapshot } from './sample-layers.js';
import type { Conformance } from './subject.js';
import { treeFacts } from './tree-facts.js';

/** What differences are: found, measured, written, applied. */
export function diffTests(conformance: Conformance): void {
  editingTest(conformance, 'a diff applied to a sibling gives the same view', async (home) => {
    await makeFiles(home, base, 50);
    await home.driver.create(snapshot, { parent: base });
    await home.inView(snapshot, editFiles);
    const tar = join(home.directory, 'diff.tar');
    const written = await home.diffs.diff(snapshot, base, { path: tar });
    expect(statSync(tar).size).toBe(written.size);
    await home.driver.create(sibling, { parent: base });
    const applied = await home.diffs.applyDiff(sibling, { path: tar });
    expect(applied.diffId).toBe(written.digest);
    expect(await home.inView(sibling, treeFacts)).toEqual(await home.inView(snapshot, treeFacts));
  });

  test('a layer that was applied gives back the diff it was made from', async () => {
    await using home = await conformance.openHome();
    await makeFiles(home, base, 20);
    const [first, second] = [join(home.directory, 'first.tar'), join(home.directory, 'second.tar')];
    const written = await home.diffs.diff(base, undefined, { path: first });
    await home.driver.create(sibling);
    await home.diffs.applyDiff(sibling, { path: first });
    expect(await home.diffs.diff(sibling, undefined, { path: second })).toEqual(written);
  });

  editingTest(conformance, 'changes are told apart as added, modified and deleted', async (home) => {
    await makeFiles(home, base, 20);
    await home.driver.create(snapshot, { parent: base });
    await home.inView(snapshot, (view) => {
      for (let number = 0; number < 7; number++) writeFileSync(join(view, 'dir-0', `file-${number}`), 'modified');
      for (let number = 10; number < 17; number++) rmSync(join(view, 'dir-1', `file-${number}`));
      for (let number = 20; number < 26; number++) writeFileSync(join(view, 'dir-0', `file-${number}`), 'added');
    });
    const expected = [
      'modify /dir-0',
      ...Array.from({ length: 7 }, (_, number) => `modify /dir-0/file-${number}`),
      ...Array.from({ length: 6 }, (_, number) => `add /dir-0/file-${number + 20}`),
      'modify /dir-1',
      ...Array.from({ length: 7 }, (_, number) => `delete /dir-1/file-${number + 10}`),
    ];
    const changes = await home.diffs.changes(snapshot, base);
    expect(lines(changes).sort()).toEqual(expected.sort());
    expect(lines(changes)).toEqual(lines([...changes].sort((one, other) => Buffer.compare(one.path, other.path))));
  });

  test('an untouched layer has no changes and an empty diff', async () => {
    await using home = await conformance.openHome();
    await makeBase(home);
    await home.driver.createReadWrite(snapshot, { parent: base });
    await home.inView(snapshot, (view) => treeFacts(view));
    expect(await home.diffs.changes(snapshot, base)).toEqual([]);
    expect(await home.diffs.diffSize(snapshot, base)).toBe(0);
  });

  editingTest(conformance, 'an edit that keeps size and time is found', async (home) => {
    await makeBase(home);
    await home.driver.create(snapshot, { parent: base });
    await home.inView(snapshot, (view) => {
      const path = join(view, 'a file');
      const { atime, mtime } = statSync(path);
      writeFileSync(path, 'Same size');
      utimesSync(path, atime, mtime);
    });
    expect(lines(await home.diffs.changes(snapshot, base))).toEqual(['modify /a file']);
  });

  editingTest(conformance, 'a directory that is deleted and made again hides what it held', async (home) => {
    await makeFiles(home, base, 20);
    await home.driver.create(snapshot, { parent: base });
    await home.inView(snapshot, (view) => {
      rmSync(join(view, 'dir-0'), { recursive: true });
      mkdirSync(join(view, 'dir-0'));
      writeFileSync(join(view, 'dir-0', 'file-3'), 'again');
    });
    const tar = join(home.directory, 'diff.tar');
    await home.diffs.diff(snapshot, base, { path: tar });
    await home.driver.create(sibling, { parent: base });
    await home.diffs.applyDiff(sibling, { path: tar });
    const facts = await home.inView(sibling, treeFacts);
    expect(Object.keys(facts).filter((path) => path.startsWith('/dir-0/'))).toEqual(['/dir-0/file-3']);
    expect(facts).toEqual(await home.inView(snapshot, treeFacts));
  });

  editingTest(
    conformance,
    'against no parent a diff is the whole view, against a distant one it is everything since',
    async (home) => {
      await makeFiles(home, base, 10);
      await home.driver.create(snapshot, { parent: base });
      await home.inView(snapshot, (view) => writeFileSync(join(view, 'second'), '2'));
      const top = parseLayerId('top');
      await home.driver.createReadWrite(top, { parent: snapshot });
      await home.inView(top, (view) => writeFileSync(join(view, 'third'), '3'));
      expect(lines(await home.diffs.changes(top, base))).toEqual(['add /second', 'add /third']);
      const tar = join(home.directory, 'whole.tar');
      await home.diffs.diff(top, undefined, { path: tar });
      await home.driver.create(sibling);
      await home.diffs.applyDiff(sibling, { path: tar });
      expect(await home.inView(sibling, treeFacts)).toEqual(await home.inView(top, treeFacts));
    },
  );

  editingTest(conformance, 'a diff may be taken while the layer is mounted', async (home) => {
    await makeFiles(home, base, 30);
    await home.driver.createReadWrite(snapshot, { parent: base });
    const view = await home.views.get(snapshot);
    editFiles(view);
    mkdirSync(join(view, 'new'));
    writeFileSync(join(view, 'new', 'file'), 'data');
    rmSync(join(view, 'dir-1'), { recursive: true });
    mkdirSync(join(view, 'dir-1'));
    const tar = join(home.directory, 'live.tar');
    const live = lines(await home.diffs.changes(snapshot, base));
    const size = await home.diffs.diffSize(snapshot, base);
    expect(live).toContain('add /new/file');
    expect(live.filter((line) => line.includes('.wh.'))).toEqual([]);
    expect(lines(await home.diffs.changes(snapshot, undefined))).toContain('add /new/file');
    const written = await home.diffs.diff(snapshot, base, { path: tar });
    await home.views.put(snapshot);
    // Not of the view above: a program's mount shows the kernel's time of a write until it is asked again.
    const facts = await home.inView(snapshot, treeFacts);
    expect(lines(await home.diffs.changes(snapshot, base))).toEqual(live);
    expect(await home.diffs.diffSize(snapshot, base)).toBe(size);
    expect(await home.diffs.diff(snapshot, base, { path: `${tar}.later` })).toEqual(written);
    await home.driver.create(sibling, { parent: base });
    await home.diffs.applyDiff(sibling, { path: tar });
    expect(await home.inView(sibling, treeFacts)).toEqual(facts);
  });

  test('an archive is not applied to a layer that has content or is in use', async () => {
    await using home = await conformance.openHome();
    await makeBase(home);
    const tar = join(home.directory, 'diff.tar');
    await home.diffs.diff(base, undefined, { path: tar });
    await home.driver.create(sibling);
    await home.tools.mounter.withMount(
      await home.driver.openView(sibling, { readOnly: true }),
      home.driver.mountPoint(sibling),
      async () => {
        await expect(home.diffs.applyDiff(sibling, { path: tar })).rejects.toMatchObject({ code: 'ERR_BUSY' });
      },
    );
    expect(await home.inView(sibling, treeFacts)).toEqual({ '/': 'directory 0755 0:0' });
  });
}

function lines(changes: readonly Change[]): string[] {
  return changes.map((change) => `${change.kind} ${change.path.toString('latin1')}`);
}
