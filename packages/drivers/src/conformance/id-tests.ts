import { join } from 'node:path';
import type { LayerId } from '@layerstore/core';
import { expect, test } from 'vitest';
import { homeListing } from './home-listing.js';
import { base, makeBase, snapshot } from './sample-layers.js';
import type { Conformance } from './subject.js';

const hostileIds = [
  '',
  '.',
  '..',
  '/',
  '/etc',
  'a/b',
  '../a',
  '../Base',
  '.layerstore',
  '.hidden',
  'a\0b',
  'a b',
  'a\n',
  '\u00e9',
  'x'.repeat(129),
  'x'.repeat(300),
];

/** What ids are: checked in every method, before anything else happens. */
export function idTests(conformance: Conformance): void {
  test.each(hostileIds.map((id) => [JSON.stringify(id.slice(0, 20)), id.length, id]))(
    'the id %s of %i characters reaches no path',
    async (_shown, _length, text) => {
      const home = await conformance.sharedHome('ids', makeBase);
      const { driver, diffs, views } = home;
      const before = homeListing(home);
      const id = text as LayerId;
      const file = { path: join(home.directory, 'unwritten.tar') };
      for (const ask of [
        () => driver.create(id),
        () => driver.create(id, { parent: base }),
        () => driver.create(snapshot, { parent: id }),
        () => driver.createReadWrite(id),
        () => driver.createReadWrite(snapshot, { parent: id }),
        () => driver.remove(id),
        () => driver.exists(id),
        () => driver.metadata(id),
        () => driver.plan(id),
        () => driver.openView(id),
        () => driver.closeView(id),
        () => driver.applyTarget(id),
        () => driver.diffSource(id, undefined),
        () => driver.diffSource(id, base),
        () => driver.diffSource(base, id),
        () => views.get(id),
        () => views.put(id),
        () => views.remove(id),
        () => diffs.changes(id, base),
        () => diffs.changes(base, id),
        () => diffs.diffSize(id, undefined),
        () => diffs.diffSize(base, id),
        () => diffs.diff(id, undefined, file),
        () => diffs.diff(base, id, file),
        () => diffs.applyDiff(id, file),
      ]) {
        await expect(ask(), ask.toString()).rejects.toMatchObject({ code: 'ERR_INVALID_ID' });
      }
      expect(() => driver.mountPoint(id)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ID' }));
      expect(homeListing(home)).toEqual(before);
    },
  );
}
