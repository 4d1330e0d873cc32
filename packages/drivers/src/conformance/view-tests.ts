import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseLayerId } from '@layerstore/core';
import { expect, test } from 'vitest';
import { base, makeBase, sibling, snapshot } from './sample-layers.js';
import type { Conformance, OpenedHome } from './subject.js';
import { treeFacts } from './tree-facts.js';

/** What views are: mounted, shared, separate, read-only, in the way of removal. */
export function viewTests(conformance: Conformance): void {
  test('mounting twice gives one path, unmounting once too often is no error', async () => {
    await using home = await conformance.openHome();
    await makeBase(home);
    await home.driver.create(snapshot, { parent: base });
    const first = await home.mount(snapshot);
    expect(await home.mount(snapshot)).toBe(first);
    expect(readFileSync(join(first, 'a file'), 'utf8')).toBe('Some data');
    await home.unmount(snapshot);
    await home.unmount(snapshot);
    expect(home.tools.mounter.isMounted(home.driver.mountPoint(snapshot))).toBe(false);
  });

  test('two layers over one parent do not see each other', async () => {
    await using home = await conformance.openHome();
    await makeBase(home);
    for (const id of [snapshot, sibling]) await home.driver.createReadWrite(id, { parent: base });
    const before = await home.inView(base, treeFacts);
    const [one, other] = [await home.mount(snapshot), await home.mount(sibling)];
    writeFileSync(join(one, 'mine'), '');
    writeFileSync(join(one, 'a file'), 'changed');
    expect(existsSync(join(other, 'mine'))).toBe(false);
    expect(readFileSync(join(other, 'a file'), 'utf8')).toBe('Some data');
    for (const id of [snapshot, sibling]) await home.unmount(id);
    expect(await home.inView(base, treeFacts)).toEqual(before);
  });

  test('a read-only view shows the same and takes no write', async () => {
    await using home = await conformance.openHome();
    await makeBase(home);
    await home.driver.create(snapshot, { parent: base });
    for (const id of [base, snapshot]) {
      const plan = await home.driver.plan(id, { readOnly: true });
      const expected = await home.inView(id, treeFacts);
      await home.tools.mounter.withMount(plan, home.driver.mountPoint(id), (view) => {
        expect(treeFacts(view)).toEqual(expected);
        expect(() => writeFileSync(join(view, 'new'), '')).toThrow(expect.objectContaining({ code: 'EROFS' }));
        return Promise.resolve();
      });
    }
  });

  test('a mounted layer is not removed, and the error names the place', async () => {
    await using home = await conformance.openHome();
    await makeBase(home);
    await home.driver.create(snapshot, { parent: base });
    const place = await mountSomehow(home);
    await expect(home.driver.remove(snapshot)).rejects.toMatchObject({
      code: 'ERR_BUSY',
      message: expect.stringContaining(place) as string,
    });
    expect(treeFacts(place)).toHaveProperty('/a file');
    await home.unmount(snapshot);
    await home.driver.remove(snapshot);
    expect(await home.driver.exists(snapshot)).toBe(false);
  });

  test('a view that is still mounted when the home is opened again is found and shows the same', async () => {
    await using home = await conformance.openHome();
    await makeBase(home);
    await home.driver.create(snapshot, { parent: base });
    const view = await home.mount(snapshot);
    writeFileSync(join(view, 'written'), 'before');
    const driver = await home.reopen();
    const again = await home.tools.mounter.mount(await driver.plan(snapshot), driver.mountPoint(snapshot));
    expect(again).toBe(view);
    expect(readFileSync(join(again, 'written'), 'utf8')).toBe('before');
    await home.unmount(snapshot);
  });

  test('many layers are made, mounted and removed at the same time', async () => {
    await using home = await conformance.openHome();
    await makeBase(home);
    const ids = Array.from({ length: 20 }, (_, number) => parseLayerId(`many-${number}`));
    await Promise.all(
      ids.map(async (id) => {
        await home.driver.createReadWrite(id, { parent: base });
        await home.inView(id, (view) => writeFileSync(join(view, 'own'), id));
        expect(await home.inView(id, (view) => readFileSync(join(view, 'own'), 'utf8'))).toBe(id);
        await home.driver.remove(id);
      }),
    );
    expect(await home.driver.list()).toEqual([base]);
  });
}

/** A driver without mounts still mounts for a read-only view. */
async function mountSomehow(home: OpenedHome): Promise<string> {
  const { driver } = home;
  const plan = await driver.plan(snapshot);
  const mounted = plan.kind === 'directory' ? await driver.plan(snapshot, { readOnly: true }) : plan;
  return home.tools.mounter.mount(mounted, driver.mountPoint(snapshot));
}
