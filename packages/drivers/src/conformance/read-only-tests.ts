import { lstatSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { base, editFiles, makeFiles, sibling, snapshot } from './sample-layers.js';
import type { Conformance, OpenedHome } from './subject.js';
import { treeFacts } from './tree-facts.js';
import { LayerViews } from '../views/layer-views.js';

/** What a home is to those who may only read it: all there, and left exactly as it was. */
export function readOnlyTests(conformance: Conformance): void {
  test('a home that is opened read-only shows the same layers, and not a name or a time in it changes', async () => {
    await using home = await conformance.openHome();
    await makeEdited(home);
    const expected = await allThatIsSeen(home);
    const before = everyEntry(home.driver.home);
    await using readOnly = await home.reopenReadOnly();
    expect(await allThatIsSeen(readOnly)).toEqual(expected);
    await readOnly.driver.cleanup();
    expect(everyEntry(home.driver.home)).toEqual(before);
  });

  test('its views take no write and are mounted outside the home, where another program finds them', async () => {
    await using home = await conformance.openHome();
    await makeEdited(home);
    await using readOnly = await home.reopenReadOnly();
    await using other = await home.reopenReadOnly();
    for (const id of [base, snapshot]) {
      const view = await readOnly.views.get(id);
      expect(view).toBe(readOnly.driver.mountPoint(id));
      expect(view.startsWith('/run/layerstore/')).toBe(true);
      expect(() => writeFileSync(join(view, 'new'), '')).toThrow(expect.objectContaining({ code: 'EROFS' }));
      expect(other.tools.mounter.isMounted(other.driver.mountPoint(id))).toBe(true);
      await new LayerViews(other.driver, other.tools.mounter).unmount(id);
      expect(readOnly.tools.mounter.isMounted(view)).toBe(false);
    }
  });

  test('its cleanup takes its own views away, and leaves the mounts of whoever owns the home', async () => {
    await using home = await conformance.openHome();
    await makeEdited(home);
    const theirs = { kind: 'bind', source: (await home.driver.applyTarget(base)).tree.path, readOnly: true } as const;
    const place = join(home.driver.home, 'of-an-engine');
    await home.tools.mounter.withMount(theirs, place, async () => {
      await using readOnly = await home.reopenReadOnly();
      const view = await readOnly.views.get(snapshot);
      await new LayerViews(readOnly.driver, readOnly.tools.mounter).cleanup();
      expect([view, place].map((path) => readOnly.tools.mounter.isMounted(path))).toEqual([false, true]);
    });
  });

  test('what would change a home that is opened read-only is refused', async () => {
    await using home = await conformance.openHome();
    await makeEdited(home);
    const tar = join(home.directory, 'diff.tar');
    await home.diffs.diff(snapshot, base, { path: tar });
    const before = everyEntry(home.driver.home);
    await using readOnly = await home.reopenReadOnly();
    for (const change of [
      () => readOnly.driver.create(sibling, { parent: base }),
      () => readOnly.driver.createReadWrite(sibling),
      () => readOnly.driver.remove(snapshot),
      () => readOnly.diffs.applyDiff(snapshot, { path: tar }),
    ]) {
      await expect(change()).rejects.toMatchObject({ code: 'ERR_READ_ONLY' });
    }
    expect(everyEntry(home.driver.home)).toEqual(before);
  });

  test('a home on a file system that takes no writes is read all the same', async () => {
    await using home = await conformance.openHome();
    await makeEdited(home);
    const expected = await allThatIsSeen(home);
    const { mounter } = home.tools;
    const plan = { kind: 'bind', source: home.driver.home, readOnly: true } as const;
    await mounter.withMount(plan, home.driver.home, async () => {
      await using readOnly = await home.reopenReadOnly();
      expect(await allThatIsSeen(readOnly)).toEqual(expected);
    });
  });
}

async function makeEdited(home: OpenedHome): Promise<void> {
  await makeFiles(home, base, 50);
  await home.driver.create(snapshot, { parent: base });
  if (home.subject.views !== 'read-only') await home.inView(snapshot, editFiles);
  else await home.fill(snapshot, (directory) => writeFileSync(join(directory, 'added'), 'added'));
}

async function allThatIsSeen(home: OpenedHome): Promise<unknown> {
  const { driver, diffs } = home;
  const parent = await driver.parent(snapshot);
  return {
    layers: (await driver.list()).sort(),
    status: await driver.status(),
    parent,
    views: [await home.inView(base, treeFacts), await home.inView(snapshot, treeFacts)],
    changes: await diffs.changes(snapshot, base),
    whole: (await diffs.changes(snapshot, undefined)).length,
    size: await diffs.diffSize(snapshot, base),
    diff: await diffs.diff(snapshot, base, { path: join(home.directory, 'seen.tar') }),
  };
}

/** Everything that a write would show in, of every file and directory; times of reading are left out. */
function everyEntry(directory: string): Record<string, string> {
  const names = readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort();
  return Object.fromEntries(
    ['.', ...names].map((name) => {
      const { ino, mode, size, nlink, mtimeNs, ctimeNs } = lstatSync(join(directory, name), { bigint: true });
      return [name, [ino, mode, size, nlink, mtimeNs, ctimeNs].join(' ')];
    }),
  );
}
