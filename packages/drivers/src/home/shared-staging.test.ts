import { existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Scratch } from '../../../../test/support/scratch.js';
import { HomeStaging } from './home-staging.js';
import { SharedStaging } from './shared-staging.js';
import { treeWork } from './tree-work.js';

describe('the staging that unsynced layers share', () => {
  const trees = treeWork(undefined);
  let scratch: Scratch;
  let staging: HomeStaging;
  let shared: SharedStaging;

  beforeEach(() => {
    scratch = new Scratch('shared-staging', '/dev/shm');
    staging = new HomeStaging(scratch.path, trees);
    shared = new SharedStaging(staging, trees);
  });
  afterEach(() => scratch[Symbol.dispose]());

  it('is one locked directory, in which a layer that was not renamed away is deleted', async () => {
    const places: string[] = [];
    for (const outcome of ['renamed', 'failed']) {
      await using entry = await shared.enter();
      const layer = entry.entry('layer');
      places.push(layer);
      mkdirSync(layer);
      writeFileSync(`${layer}/file`, '');
      if (outcome === 'renamed') renameSync(layer, scratch.file('home'));
    }
    expect(new Set(places.map((place) => dirname(place))).size).toBe(1);
    expect(new Set(places).size).toBe(2);
    expect(existsSync(scratch.file('home', 'file'))).toBe(true);
    expect(readdirSync(dirname(places[0]!))).toEqual([]);
    expect(await staging.sweep(() => Promise.resolve())).toBe(0);
    await shared.close();
    expect(readdirSync(staging.path)).toEqual([]);
  });

  it('stays while something is built in it, and is made anew after it went', async () => {
    {
      await using entry = await shared.enter();
      await shared.close();
      mkdirSync(entry.entry('layer'));
    }
    await shared.close();
    await using again = await shared.enter();
    mkdirSync(again.entry('layer'));
    expect(readdirSync(staging.path)).toHaveLength(2);
  });

  it('can be entered after a time when it could not be made', async () => {
    writeFileSync(staging.path, 'in the way');
    await expect(shared.enter()).rejects.toMatchObject({ code: 'ERR_IO' });
    renameSync(staging.path, scratch.file('away'));
    await using entry = await shared.enter();
    mkdirSync(entry.entry('layer'));
    expect(existsSync(entry.entry('layer'))).toBe(true);
  });
});
