import { chmodSync, chownSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseLayerId } from '@layerstore/core';
import { expect, test } from 'vitest';
import { homeListing } from './home-listing.js';
import { base, makeBase, makeStack, snapshot } from './sample-layers.js';
import type { Conformance, OpenedHome } from './subject.js';
import { treeFacts } from './tree-facts.js';

const absent = parseLayerId('absent');

const deep = 120;

/** What layers are: made, found, stacked, refused, removed. */
export function layerTests(conformance: Conformance): void {
  test('an empty layer is an empty directory, 0755, owned by root', async () => {
    await using home = await conformance.openHome();
    await home.driver.create(parseLayerId('empty'));
    expect(await home.inView(parseLayerId('empty'), treeFacts)).toEqual({ '/': 'directory 0755 0:0' });
  });

  test('a layer keeps what is written through its view, and its child shows the same', async () => {
    await using home = await conformance.openHome();
    await makeBase(home);
    await home.driver.create(snapshot, { parent: base });
    const facts = await home.inView(base, treeFacts);
    expect(facts['/a subdir']).toBe('directory 1705 1:2');
    expect(facts['/a file']).toMatch(/^file 4222 0:0 9 bytes /);
    expect(await home.inView(snapshot, treeFacts)).toEqual(facts);
  });

  test('a child starts with the mode and owner that the root of its parent has', async () => {
    await using home = await conformance.openHome();
    await home.driver.create(base);
    const { tree } = await home.driver.applyTarget(base);
    chownSync(tree.path, 3, 4);
    chmodSync(tree.path, 0o2551);
    await home.driver.createReadWrite(snapshot, { parent: base });
    expect(await home.inView(snapshot, treeFacts)).toEqual({ '/': 'directory 2551 3:4' });
  });

  test(`${deep} layers show the newest of every file`, async () => {
    const home = await deepHome(conformance);
    const shown = await home.inView(parseLayerId(`layer-${deep - 1}`), (view) =>
      readdirSync(view).map((name) => [name, readFileSync(join(view, name), 'utf8')]),
    );
    const expected = Array.from({ length: deep }, (_, number) => [`from-${number}`, `${number}`]);
    expect(Object.fromEntries(shown)).toEqual(Object.fromEntries([...expected, ['shared', `${deep - 1}`]]));
  });

  test('a stack is as deep as the driver says, and a deeper one is refused when it is made', async (context) => {
    const home = await deepHome(conformance);
    const { maxDepth } = home.driver.abilities;
    if (!Number.isFinite(maxDepth)) return context.skip('the driver has no limit');
    let parent = parseLayerId(`layer-${deep - 1}`);
    for (let depth = deep + 1; depth <= maxDepth; depth++) {
      const id = parseLayerId(`depth-${depth}`);
      await home.driver.create(id, { parent });
      parent = id;
    }
    expect(await home.inView(parent, (view) => readFileSync(join(view, 'shared'), 'utf8'))).toBe(`${deep - 1}`);
    await expect(home.driver.create(absent, { parent })).rejects.toMatchObject({
      code: 'ERR_MAX_DEPTH',
      message: expect.stringContaining(String(maxDepth)) as string,
    });
    expect(await home.driver.exists(absent)).toBe(false);
  });

  test('a layer that is not there is told apart from every other failure', async () => {
    await using home = await conformance.openHome();
    const { driver } = home;
    await driver.create(base);
    expect(await driver.exists(absent)).toBe(false);
    for (const ask of [
      () => driver.plan(absent),
      () => driver.metadata(absent),
      () => driver.applyTarget(absent),
      () => driver.diffSource(absent, undefined),
      () => driver.diffSource(base, absent),
      () => home.diffs.changes(absent, undefined),
    ]) {
      await expect(ask()).rejects.toMatchObject({ code: 'ERR_LAYER_NOT_FOUND' });
    }
  });

  test('an unknown parent leaves nothing', async () => {
    await using home = await conformance.openHome();
    await home.driver.create(base);
    const before = homeListing(home);
    await expect(home.driver.create(snapshot, { parent: absent })).rejects.toMatchObject({
      code: 'ERR_LAYER_NOT_FOUND',
    });
    await expect(home.driver.createReadWrite(snapshot, { parent: absent })).rejects.toMatchObject({
      code: 'ERR_LAYER_NOT_FOUND',
    });
    expect(homeListing(home)).toEqual(before);
  });

  test('making an untouched layer again succeeds, over another parent or content it is refused', async () => {
    await using home = await conformance.openHome();
    await makeBase(home);
    await home.driver.create(snapshot, { parent: base });
    const before = homeListing(home);
    await home.driver.create(snapshot, { parent: base });
    expect(homeListing(home)).toEqual(before);
    await expect(home.driver.create(snapshot)).rejects.toMatchObject({ code: 'ERR_EXISTS' });
    await expect(home.driver.create(base)).rejects.toMatchObject({ code: 'ERR_EXISTS' });
    await home.fill(snapshot, (view) => writeFileSync(join(view, 'new'), ''));
    await expect(home.driver.create(snapshot, { parent: base })).rejects.toMatchObject({ code: 'ERR_EXISTS' });
  });

  test('two that make the same layer at once both succeed, and there is one', async () => {
    await using home = await conformance.openHome();
    await makeBase(home);
    const second = await home.reopen();
    await Promise.all([home.driver, second].map((driver) => driver.create(snapshot, { parent: base })));
    expect((await home.driver.list()).sort()).toEqual([base, snapshot]);
    expect(await home.inView(snapshot, treeFacts)).toHaveProperty('/a file');
  });

  test('an option that the driver does not know, or cannot keep, is refused by name', async () => {
    await using home = await conformance.openHome();
    await expect(home.driver.createReadWrite(base, { storageOptions: { colour: 'red' } })).rejects.toMatchObject({
      code: 'ERR_UNKNOWN_OPTION',
      message: expect.stringContaining('colour') as string,
    });
    if (!home.driver.abilities.quota) {
      await expect(home.driver.createReadWrite(base, { storageOptions: { size: '1G' } })).rejects.toMatchObject({
        code: 'ERR_NOT_SUPPORTED',
      });
    }
    expect(await home.driver.list()).toEqual([]);
  });

  test('a removed layer is gone, may be removed again, and its name is free', async () => {
    await using home = await conformance.openHome();
    await makeBase(home);
    const before = homeListing(home);
    await home.driver.create(snapshot, { parent: base });
    await home.driver.remove(snapshot);
    await home.driver.remove(snapshot);
    expect(await home.driver.list()).toEqual([base]);
    expect(layersOnly(homeListing(home))).toEqual(layersOnly(before));
    await home.driver.create(snapshot, { parent: base });
    expect(await home.inView(snapshot, treeFacts)).toHaveProperty('/a file');
  });
}

function deepHome(conformance: Conformance): Promise<OpenedHome> {
  return conformance.sharedHome('deep', async (home) => {
    await makeStack(home, deep);
  });
}

/** That a layer has had a child is not forgotten with the child. */
function layersOnly(names: readonly string[]): string[] {
  return names.filter((name) => !/\b(?:committed$|unshared\/)/.test(name));
}
