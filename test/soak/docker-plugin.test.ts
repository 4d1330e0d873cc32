/** 32 clients of the Docker plugin at once for minutes, while it is killed at random moments. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { driverNames } from '@layerstore/drivers';
import { describe, expect, it } from 'vitest';
import { layersIn, PluginLoad } from '../support/plugin-load.js';
import { isRoot, mountsBelow, Scratch } from '../support/scratch.js';
import { record, soakMinutes } from './soak.js';

/** Bytes: threads for 32 archives at once, each with its buffers. */
const memoryLimit = 1.5 * 2 ** 30;

describe.skipIf(!isRoot)('32 clients of the Docker plugin (needs root)', () => {
  it.each(driverNames)('lose no layer and leak no mount, whenever it is killed, on %s', async (driver) => {
    using scratch = new Scratch('pl');
    const milliseconds = soakMinutes * 60_000;
    await using load = await PluginLoad.start(scratch.path, { clients: 32, milliseconds, killEvery: 20_000, driver });
    const result = await load.run();
    expect(result).toMatchObject({ lost: [], faults: [] });
    expect(result.cycles).toBeGreaterThan(0);
    expect(result.memory).toBeLessThan(memoryLimit);
    expect(await load.removeAll(layersIn(load.home, driver))).toBe('0');
    expect(mountsBelow(scratch.path)).toEqual([]);
    expect(readdirSync(join(load.home, '.layerstore', 'staging'))).toEqual([]);
    record(
      `Docker plugin, 32 clients, ${driver}`,
      `${result.kills} kills, ${result.cycles} cycles of pull, run, commit and remove, ${result.interrupted} interrupted, ` +
        `${result.kept} layers kept and whole, no mount left; memory ${Math.round(result.memory / 2 ** 20)} MiB at most, ` +
        `the event loop was held up for ${Math.round(result.worstDelay * 1000)} ms at most.`,
    );
  });
});
