/** The Docker plugin is killed while many clients work on it. test/soak does the same for minutes. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { driverNames } from '@layerstore/drivers';
import { describe, expect, it, vi } from 'vitest';
import { layersIn, PluginLoad } from '../support/plugin-load.js';
import { isRoot, mountsBelow, Scratch } from '../support/scratch.js';

// On a machine that does something else besides, everything takes several times as long.
vi.setConfig({ testTimeout: 240_000 });

describe.skipIf(!isRoot)('many clients of the plugin, which is killed again and again (needs root)', () => {
  it.each(driverNames)('no complete layer is lost and nothing stays behind, %s', async (driver) => {
    using scratch = new Scratch('pl');
    await using load = await PluginLoad.start(scratch.path, {
      clients: 12,
      milliseconds: 12_000,
      killEvery: 4_000,
      driver,
    });
    const result = await load.run();
    expect(result).toMatchObject({ lost: [], faults: [] });
    expect(result.cycles).toBeGreaterThan(0);
    expect(result.kills).toBeGreaterThan(0);
    expect(await load.removeAll(layersIn(load.home, driver))).toBe('0');
    expect(mountsBelow(scratch.path)).toEqual([]);
    expect(readdirSync(join(load.home, '.layerstore', 'staging'))).toEqual([]);
  });
});
