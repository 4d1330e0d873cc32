import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseLayerId } from '@layerstore/core';
import { expect, test } from 'vitest';
import { editingTest } from './editing-test.js';
import { base, makeBase, sibling, snapshot } from './sample-layers.js';
import type { Conformance, OpenedHome } from './subject.js';
import { treeFacts } from './tree-facts.js';

/** What views are: mounted, shared, separate, read-only, in the way of removal. */
export function viewTests(conformance: Conformance): void {
  test('every user gets one path, the last to let go unmounts, and letting go once too often is no error', async () => {
    await using home = await conformance.openHome();
    await makeBase(home);
    await home.driver.create(snapshot, { parent: base });
    const first = await home.views.get(snapshot);
    expect(await home.views.get(snapshot)).toBe(first);
    const mounted = home.isMounted(snapshot);
    await home.views.put(snapshot);
    expect(home.isMounted(snapshot)).toBe(mounted);
    expect(readFileSync(join(first, 'a file'), 'utf8')).toBe('Some data');
    for (let surplus = 0; surplus < 3; surplus++) await home.views.put(snapshot);
    expect(home.isMounted(snapshot)).toBe(false);
    expect(await home.views.get(snapshot)).toBe(first);
    await home.views.put(snapshot);
    expect(home.isMounted(snapshot)).toBe(false);
  });

  test('a view stays the same to its users when the layer has a child meanwhile', async () => {
    await using home = await conformance.openHome();
    await makeBase(home);
    await home.driver.create(snapshot, { parent: base });
    for (const id of [base, snapshot]) {
      const view = await home.views.get(id);
      await home.driver.create(parseLayerId(`child-of-${id}`), { parent: id });
      expect(await home.views.get(id)).toBe(view);
      expect(treeFacts(view)).toHaveProperty('/a file');
      await home.views.put(id);
      await home.views.put(id);
      expect(home.isMounted(id)).toBe(false);
    }
  });

  editingTest(conformance, 'two layers over one parent do not see each other', async (home) => {
    await makeBase(home);
    for (const id of [snapshot, sibling]) await home.driver.createReadWrite(id, { parent: base });
    const before = await home.inView(base, treeFacts);
    const [one, other] = [await home.views.get(snapshot), await home.views.get(sibling)];
    writeFileSync(join(one, 'mine'), '');
    writeFileSync(join(one, 'a file'), 'changed');
    expect(existsSync(join(other, 'mine'))).toBe(false);
    expect(readFileSync(join(other, 'a file'), 'utf8')).toBe('Some data');
    for (const id of [snapshot, sibling]) await home.views.put(id);
    expect(await home.inView(base, treeFacts)).toEqual(before);
  });

  test('a read-only view shows the same and takes no write', async () => {
    await using home = await conformance.openHome();
    await makeBase(home);
    await home.driver.create(snapshot, { parent: base });
    for (const id of [base, snapshot]) {
      const plan = await home.driver.openView(id, { readOnly: true });
      const expected = await home.inView(id, treeFacts);
      await home.tools.mounter.withMount(plan, home.driver.mountPoint(id), (view) => {
        expect(treeFacts(view)).toEqual(expected);
        expect(() => writeFileSync(join(view, 'new'), '')).toThrow(expect.objectContaining({ code: 'EROFS' }));
        return Promise.resolve();
      });
    }
  });

  test('a mounted layer is not removed by the driver, and the error names the place', async () => {
    await using home = await conformance.openHome();
    await makeBase(home);
    await home.driver.create(snapshot, { parent: base });
    const place = await mountSomehow(home);
    await expect(home.driver.remove(snapshot)).rejects.toMatchObject({
      code: 'ERR_BUSY',
      message: expect.stringContaining(place) as string,
    });
    expect(treeFacts(place)).toHaveProperty('/a file');
    await home.tools.mounter.unmount(place);
    await home.driver.remove(snapshot);
    expect(await home.driver.exists(snapshot)).toBe(false);
  });

  test('an engine that removes a layer has its view unmounted, however many have asked for it', async () => {
    await using home = await conformance.openHome();
    await makeBase(home);
    await home.driver.create(snapshot, { parent: base });
    await home.views.get(snapshot);
    await home.views.get(snapshot);
    await home.views.remove(snapshot);
    expect(home.isMounted(snapshot)).toBe(false);
    expect(await home.driver.list()).toEqual([base]);
    await home.views.remove(snapshot);
    await home.views.put(snapshot);
    expect(await home.driver.list()).toEqual([base]);
  });

  test('a view in which somebody works is not removed, and the error names him', async () => {
    await using home = await conformance.openHome();
    await makeBase(home);
    await home.driver.create(snapshot, { parent: base });
    const place = await mountSomehow(home);
    const user = spawn('sh', ['-c', 'echo; read line'], { cwd: place, stdio: ['pipe', 'pipe', 'ignore'] });
    try {
      await once(user.stdout, 'data');
      await expect(home.views.remove(snapshot)).rejects.toMatchObject({
        code: 'ERR_BUSY',
        message: expect.stringContaining(`sh (pid ${user.pid}`) as string,
      });
    } finally {
      user.stdin.end();
      await once(user, 'close');
    }
    expect(await home.driver.exists(snapshot)).toBe(true);
    await home.views.remove(snapshot);
    expect(await home.driver.exists(snapshot)).toBe(false);
  });

  test('many layers are made, mounted and removed at the same time', async () => {
    await using home = await conformance.openHome();
    await makeBase(home);
    const ids = Array.from({ length: 20 }, (_, number) => parseLayerId(`many-${number}`));
    await Promise.all(
      ids.map(async (id) => {
        await home.driver.createReadWrite(id, { parent: base });
        await home.fill(id, (view) => writeFileSync(join(view, 'own'), id));
        expect(await home.inView(id, (view) => readFileSync(join(view, 'own'), 'utf8'))).toBe(id);
        await home.driver.remove(id);
      }),
    );
    expect(await home.driver.list()).toEqual([base]);
  });

  test('many who get and let go of one view at the same time meet no half mounted one', async () => {
    await using home = await conformance.openHome();
    await makeBase(home);
    await home.driver.create(snapshot, { parent: base });
    await Promise.all(
      Array.from({ length: 20 }, async () => {
        const view = await home.views.get(snapshot);
        expect(readFileSync(join(view, 'a file'), 'utf8')).toBe('Some data');
        await home.views.put(snapshot);
      }),
    );
    expect(home.isMounted(snapshot)).toBe(false);
  });
}

/** A driver without mounts still mounts for a read-only view. */
async function mountSomehow(home: OpenedHome): Promise<string> {
  const { driver } = home;
  const plan = await driver.openView(snapshot);
  const mounted = plan.kind === 'directory' ? await driver.openView(snapshot, { readOnly: true }) : plan;
  return home.tools.mounter.mount(mounted, driver.mountPoint(snapshot));
}
