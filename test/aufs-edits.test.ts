/** Whatever a program does in a view of an aufs home without an aufs kernel: the layer at rest says the same. */
import { mkdtempSync, readdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { ArchiveWorkers } from '@layerstore/archive';
import { parseLayerId, type LayerId } from '@layerstore/core';
import { layerDiffs, LayerViews, openAufs } from '@layerstore/drivers';
import { treeFacts } from '@layerstore/drivers/conformance';
import { Mounter, mountsBelow, nativeSyscalls, readMountTable, removeTree } from '@layerstore/linux';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { randomEdits } from '../packages/archive/src/tree/testing/random-edits.js';

describe.skipIf(process.geteuid?.() !== 0)('random edits in views (needs root)', () => {
  const workers = new ArchiveWorkers({ threads: 1 });
  const mounter = new Mounter();
  afterAll(() => workers[Symbol.asyncDispose]());

  test('are in the layer at rest, in aufs form: views, changes, sizes and diffs are those of the live container', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.array(fc.integer({ min: 1, max: 25 }), { minLength: 2, maxLength: 4 }), check),
      { numRuns: 12 },
    );
  });

  const check = async (seed: number, layers: readonly number[]): Promise<void> => {
    const directory = realpathSync(mkdtempSync('/dev/shm/layerstore-aufs-edits-'));
    try {
      const driver = await openAufs(join(directory, 'home'), { mounter, workers, engine: 'overlay' });
      const views = new LayerViews(driver, mounter);
      const diffs = layerDiffs(driver, { workers, mounter });
      let parent: LayerId | undefined;
      for (const [depth, steps] of layers.entries()) {
        const id = parseLayerId(`layer-${depth}`);
        await driver.create(id, parent === undefined ? {} : { parent });
        const view = await views.get(id);
        randomEdits(view, seed + depth * 1009, steps);
        const live = {
          facts: treeFacts(view),
          changes: await diffs.changes(id, parent),
          size: await diffs.diffSize(id, parent),
          tar: await diffs.diff(id, parent, { path: join(directory, 'live.tar') }),
        };
        await views.put(id);
        const raw = join(driver.home, 'diff', id);
        expect(tracesOfOverlays(raw)).toEqual([]);
        await using readOnly = await views.lease(id, { readOnly: true });
        expect({
          facts: treeFacts(readOnly.path),
          changes: await diffs.changes(id, parent),
          size: await diffs.diffSize(id, parent),
          tar: await diffs.diff(id, parent, { path: join(directory, 'rest.tar') }),
        }).toEqual(live);
        await readOnly[Symbol.asyncDispose]();
        const before = treeFacts(raw);
        {
          await using again = await views.lease(id);
          expect(treeFacts(again.path)).toEqual(live.facts);
        }
        expect(treeFacts(raw)).toEqual(before);
        parent = id;
      }
    } finally {
      for (const entry of mountsBelow(readMountTable(), directory).reverse()) await mounter.unmount(entry.mountPoint);
      removeTree(directory);
    }
  };
});

/** Devices 0:0 and attributes that only the overlay's upper may have. */
function tracesOfOverlays(root: string): string[] {
  const sys = nativeSyscalls();
  const found: string[] = [];
  const visit = (directory: Buffer): void => {
    for (const entry of readdirSync(directory, { encoding: 'buffer', withFileTypes: true })) {
      const path = Buffer.concat([directory, Buffer.from('/'), entry.name]);
      const marks = sys.listXattrs(path).filter((name) => /\.overlay\./.test(name.toString('latin1')));
      if (marks.length > 0) found.push(`${path.toString()} has ${marks.join(', ')}`);
      if (entry.isCharacterDevice() && treeFacts(root)[path.toString('latin1').slice(root.length)] === undefined)
        found.push(path.toString());
      if (entry.isDirectory()) visit(path);
    }
  };
  visit(Buffer.from(root));
  return found;
}
