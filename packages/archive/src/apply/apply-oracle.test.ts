/** Unpacking as GNU tar does it: the same archive, and every attribute compared. */
import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readFileBytes } from '../tar-split/content.js';
import { randomEdits } from '../tree/testing/random-edits.js';
import { applyLayer } from './apply-layer.js';
import { TestDirectory } from './testing/test-tree.js';
import { listTree } from './testing/tree-listing.js';

const hasGnuTar = spawnSync('tar', ['--version']).stdout.toString().includes('GNU tar');
const suite = describe.skipIf(process.getuid?.() !== 0 || !hasGnuTar);

const XATTRS = ['--xattrs', '--xattrs-include=*'];

/** The archive of a tree, unpacked by GNU tar and by `applyLayer`. */
function unpackedTwice(
  place: TestDirectory,
  source: string,
  create: readonly string[],
  extract: readonly string[],
): void {
  const archive = join(place.path, 'archive.tar');
  execFileSync('tar', [...create, '-C', source, '-cf', archive, '.'], { stdio: ['ignore', 'ignore', 'ignore'] });
  const expected = place.tree();
  execFileSync('tar', [...extract, '--warning=no-timestamp', '--numeric-owner', '-p', '-C', expected, '-xf', archive]);
  const path = place.tree();
  applyLayer(readFileBytes(archive), { tree: { path, dialect: 'overlay' } });
  expect(listTree(path)).toEqual(listTree(expected));
}

suite('unpacking, compared with GNU tar (needs root and GNU tar)', () => {
  it.each([
    ['pax', ['--format=pax', '--sparse', ...XATTRS], XATTRS],
    ['pax with sparse files in the form 0.1', ['--format=pax', '--sparse', '--sparse-version=0.1'], []],
    ['gnu', ['--format=gnu', '--sparse'], []],
  ])('gives the same tree for random trees, in %s form', (_, create, extract) => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 1, max: 40 }), (seed, steps) => {
        using place = new TestDirectory();
        const source = place.tree();
        randomEdits(source, seed, steps);
        unpackedTwice(place, source, create, extract);
      }),
      { numRuns: 25 },
    );
  });
});
