/** Damaged input for a long time: nothing but the documented refusals, nothing outside, nothing half made. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { StoreError } from '@layerstore/core';
import { LayerStore } from '@layerstore/store';
import { describe, expect, it } from 'vitest';
import { fuzzTarReader } from '../../packages/archive/src/tar/fuzz.js';
import { makeDockerArchive, sha256, threeLayers } from '../support/image.js';
import { isRoot, Scratch } from '../support/scratch.js';
import { chance, oneOf, record, untilTimeIsOver } from './soak.js';

describe('damaged input', () => {
  it('is read or refused by the tar reader, byte for byte', async () => {
    const start = chance(2 ** 31);
    let accepted = 0;
    let refused = 0;
    await untilTimeIsOver((round) => {
      const report = fuzzTarReader({ seed: start + round, rounds: 2000 });
      accepted += report.accepted;
      refused += report.refused;
      return Promise.resolve();
    });
    record('damaged tars', `${accepted} read, ${refused} refused, no other error; seeds from ${start}.`);
  });

  it.skipIf(!isRoot)('is loaded or refused by the store, which stays sound (needs root)', async () => {
    using scratch = new Scratch('fuzz');
    const originals = (['none', 'gzip', 'zstd'] as const).map((compression) =>
      readFileSync(makeDockerArchive(scratch.file(compression), threeLayers, { compression }).path),
    );
    const sentinel = scratch.file('outside');
    mkdirSync(sentinel);
    writeFileSync(`${sentinel}/file`, 'untouched');
    const untouched = listing(scratch.path);
    const root = scratch.file('root');
    await using store = await LayerStore.open({ root });
    const archive = scratch.file('damaged.tar');
    const codes = new Map<string, number>();
    let loaded = 0;
    const rounds = await untilTimeIsOver(async () => {
      const bytes = damage(oneOf(originals));
      writeFileSync(archive, bytes);
      const digest = sha256(bytes);
      try {
        await store.images.load({ path: archive });
        loaded += 1;
      } catch (error) {
        if (!StoreError.is(error) || error.code === 'ERR_INTERNAL') keep(bytes, digest);
        expect({ digest, error: StoreError.is(error) ? 'StoreError' : error }).toEqual({ digest, error: 'StoreError' });
        const { code } = error as StoreError;
        expect({ digest, code }).not.toEqual({ digest, code: 'ERR_INTERNAL' });
        codes.set(code, (codes.get(code) ?? 0) + 1);
      }
      const { findings, leftovers } = await store.check();
      expect({ digest, findings, leftovers }).toEqual({ digest, findings: [], leftovers: [] });
    });
    expect(await store.check({ verify: true })).toMatchObject({ findings: [], leftovers: [] });
    expect(listing(scratch.path)).toEqual(untouched);
    const table = [...codes].sort((a, b) => b[1] - a[1]).map(([code, count]) => `${code} ${count}`);
    record('damaged images', `${rounds} loads, ${loaded} accepted, refused by ${table.join(', ')}.`);
  });
});

/** Up to eight changes: bits, truncations, exchanged and doubled blocks. */
function damage(original: Buffer): Buffer {
  let bytes = Buffer.from(original);
  for (let count = 1 + chance(8); count > 0; count -= 1) {
    const at = chance(bytes.length);
    const block = at - (at % 512);
    switch (chance(5)) {
      case 0:
        bytes = bytes.subarray(0, Math.max(at, 1024));
        break;
      case 1:
        bytes = Buffer.concat([bytes.subarray(0, block), bytes.subarray(block + 512)]);
        break;
      case 2:
        bytes = Buffer.concat([bytes.subarray(0, block + 512), bytes.subarray(block)]);
        break;
      default:
        bytes[at] = (bytes[at] ?? 0) ^ (1 << chance(8));
    }
    if (bytes.length < 1024) return bytes;
  }
  return bytes;
}

/** For the report of a failure: the archive that caused it. */
function keep(bytes: Buffer, digest: string): void {
  writeFileSync(`/var/tmp/layerstore-fuzz-${digest.slice(0, 12)}.tar`, bytes);
}

/** Everything in the scratch directory but the store and the archive that is damaged. */
function listing(path: string): string {
  return execFileSync(
    'find',
    [
      path,
      '-mindepth',
      '1',
      '(',
      '-path',
      `${path}/root`,
      '-o',
      '-name',
      'damaged.tar',
      ')',
      '-prune',
      '-o',
      '-type',
      'f',
      '-printf',
      '%P %s %m\\n',
    ],
    { encoding: 'utf8' },
  );
}
