import { StoreError } from '@layerstore/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { openImageSource } from './open-image-source.js';
import { planDockerArchive, planOciArchive } from './plan-archive.js';
import { bytesOf, exported } from './testing/exports.js';
import { dockerMembers, testImage } from './testing/images.js';
import { tarOf } from './testing/tar.js';
import { Temporary } from './testing/temporary.js';
import { validateSource } from './validate.js';

const app = testImage('app', { layerCount: 2 });

const archives = {
  'docker-archive': tarOf(dockerMembers([{ ...app, tags: ['app:1'] }, testImage('other')])),
  'docker-archive with a layout': bytesOf(planDockerArchive([exported(app, ['app:1'])])),
  'OCI archive': bytesOf(planOciArchive([exported(app, ['app:1'], 'gzip')])),
};

/** Reads and checks all of an archive; the code of the error that ends it, or what was found to be wrong. */
async function read(bytes: Buffer): Promise<string> {
  using directory = new Temporary();
  try {
    await using source = await openImageSource(directory.write('a.tar', bytes), { scratch: directory.path });
    const mismatches = await validateSource(source);
    return mismatches.length === 0 ? 'consistent' : 'mismatch';
  } catch (error) {
    return StoreError.is(error) ? error.code : String(error);
  }
}

/** What damage may lead to; ERR_INTERNAL and errors of another class are faults of ours. */
const outcomes =
  /^(consistent|mismatch|ERR_(MALFORMED_(ARCHIVE|IMAGE)|TRUNCATED|LIMIT_EXCEEDED|UNSUPPORTED_FORMAT|(DIGEST|SIZE)_MISMATCH|ARCHIVE_ESCAPE|NO_PLATFORM))$/;

describe.each(Object.entries(archives))('a %s', (_, archive) => {
  test('with flipped bytes is read, or refused with a clear error', async () => {
    const flip = fc.record({ at: fc.nat({ max: archive.length - 1 }), value: fc.integer({ min: 0, max: 255 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(flip, { minLength: 1, maxLength: 8 }), async (flips) => {
        const damaged = Buffer.from(archive);
        for (const { at, value } of flips) damaged[at] = value;
        expect(await read(damaged)).toMatch(outcomes);
      }),
      { numRuns: 150 },
    );
  });

  test('with characters of its JSON exchanged is read, or refused with a clear error', async () => {
    const json = [...archive.toString('latin1').matchAll(/["{}[\]:,0-9]/g)].map((match) => match.index);
    const change = fc.record({
      at: fc.constantFrom(...json),
      text: fc.constantFrom('"', '{', '}', '[', ']', ':', ',', '9', '-', 'e', ' '),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), async (changes) => {
        const damaged = Buffer.from(archive);
        for (const { at, text } of changes) damaged.write(text, at, 'latin1');
        expect(await read(damaged)).toMatch(outcomes);
      }),
      { numRuns: 150 },
    );
  });

  test('that is cut anywhere is read, or refused with a clear error', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: archive.length }), async (length) => {
        expect(await read(archive.subarray(0, length))).toMatch(outcomes);
      }),
      { numRuns: 60 },
    );
  });
});
