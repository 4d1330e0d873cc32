import { StoreError, type ErrorCode } from '@layerstore/core';
import { BLOCK_SIZE } from './block.js';
import { craftedArchive, craftedHeader, craftedMember, craftedPax } from './crafted.js';
import { checksum, fields } from './header.js';
import type { TarLimits } from './limits.js';
import { writeOctal } from './numbers.js';
import { TarReader } from './reader.js';

/** What an archive may be refused with; anything else is a fault of the reader. */
const refusals: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'ERR_MALFORMED_ARCHIVE',
  'ERR_TRUNCATED',
  'ERR_LIMIT_EXCEEDED',
  'ERR_UNSUPPORTED_FORMAT',
]);

const smallLimits: TarLimits = {
  members: 20,
  extensionBytes: 2048,
  globalRecords: 2,
  pathBytes: 200,
  componentBytes: 100,
  xattrBytes: 64,
  sparseSegments: 30,
};

export interface FuzzOptions {
  /** The same seed gives the same archives. */
  readonly seed: number;
  readonly rounds: number;
}

export interface FuzzReport {
  readonly accepted: number;
  readonly refused: number;
}

/**
 * Reads `rounds` damaged archives and holds the reader to its promises: it refuses only by the codes it documents,
 * entries and chunks are consistent, and the observer sees the archive byte for byte.
 * @throws Error naming seed and round, from which the archive can be made again
 */
export function fuzzTarReader({ seed, rounds }: FuzzOptions): FuzzReport {
  const random = randomNumbers(seed);
  const report = { accepted: 0, refused: 0 };
  for (let round = 0; round < rounds; round += 1) {
    const archive = damagedArchive(random);
    const limits = random(2) === 0 ? smallLimits : undefined;
    try {
      report[checkReading(archive, random, limits)] += 1;
    } catch (cause) {
      throw new Error(`fuzzing failed: seed ${seed}, round ${round}`, { cause });
    }
  }
  return report;
}

/** A source of integers from 0 to below a bound. */
export type RandomNumbers = (bound: number) => number;

/** Small, fast and reproducible: xorshift32. */
export function randomNumbers(seed: number): RandomNumbers {
  let state = Math.imul(seed + 1, 0x9e3779b1) || 1;
  return (bound) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % bound;
  };
}

/** An archive with members of many forms, then changed in up to eight places. */
export function damagedArchive(random: RandomNumbers): Buffer {
  const count = 1 + random(6);
  let archive = craftedArchive(...Array.from({ length: count }, () => randomMember(random)));
  const damages = random(9);
  for (let index = 0; index < damages; index += 1) archive = damage(archive, random);
  if (random(4) > 0) mendChecksums(archive);
  return archive;
}

function checkReading(archive: Buffer, random: RandomNumbers, limits: TarLimits | undefined): keyof FuzzReport {
  const observed: Buffer[] = [];
  const keep = (bytes: Buffer): void => void observed.push(Buffer.from(bytes));
  const reader = new TarReader(cut(archive, random), {
    observer: { segment: keep, payload: keep },
    ...(limits === undefined ? {} : { limits }),
  });
  try {
    for (let entry = reader.next(); entry !== undefined; entry = reader.next()) {
      expect(entry.name.length > 0 && !entry.name.includes(0), 'the name is not valid');
      expect(Number.isSafeInteger(entry.size) && entry.size >= 0, 'the size is not valid');
      expect((entry.mode & ~0o7777) === 0, 'the mode has more than permission bits');
      if (random(3) === 0) continue;
      let end = 0;
      for (const { data, offset } of reader.payload()) {
        expect(data.length > 0 && offset >= end && offset + data.length <= entry.size, 'a chunk is out of place');
        end = offset + data.length;
      }
    }
  } catch (error) {
    if (!StoreError.is(error) || !refusals.has(error.code)) throw error;
    const seen = Buffer.concat(observed);
    expect(seen.equals(archive.subarray(0, seen.length)), 'the observer saw other bytes than those of the archive');
    return 'refused';
  }
  expect(Buffer.concat(observed).equals(archive), 'the observer did not see the whole archive');
  return 'accepted';
}

function expect(condition: boolean, otherwise: string): void {
  if (!condition) throw new Error(otherwise);
}

function* cut(archive: Buffer, random: RandomNumbers): Generator<Buffer> {
  const longest = 1 + random(2000);
  let start = 0;
  while (start < archive.length) {
    const end = start + random(longest + 1);
    yield archive.subarray(start, end);
    start = end;
  }
}

function randomMember(random: RandomNumbers): Buffer {
  const content = Buffer.alloc(random(1600), 'content ');
  switch (random(10)) {
    case 0:
      return craftedMember({ type: '5', name: 'directory/' });
    case 1:
      return craftedMember({ type: '2', name: 'symlink', linkName: '../target' });
    case 2:
      return craftedMember({
        type: '4',
        magic: 'gnu',
        name: 'device',
        patches: [[329, Buffer.from('0000010\x000000001\0')]],
      });
    case 3:
      return Buffer.concat([
        craftedMember({ type: 'L', magic: 'gnu' }, `${'long/'.repeat(30)}name\0`),
        craftedMember({ magic: 'gnu' }, content),
      ]);
    case 4:
      return Buffer.concat([
        craftedPax({
          path: 'from/pax',
          mtime: '1.5',
          uid: '3000000',
          size: String(content.length),
          'SCHILY.xattr.user.a': 'b',
        }),
        craftedMember({}, content),
      ]);
    case 5:
      return craftedPax({ gid: '7', comment: 'global' }, 'g');
    case 6:
      return oldGnuSparse(random);
    case 7:
      return Buffer.concat([
        craftedPax({ 'GNU.sparse.size': '90', 'GNU.sparse.map': '0,10,20,5,80,10', 'GNU.sparse.name': 'sparse' }),
        craftedMember({}, Buffer.alloc(25, 's')),
      ]);
    case 8:
      return Buffer.concat([
        craftedPax({
          'GNU.sparse.major': '1',
          'GNU.sparse.minor': '0',
          'GNU.sparse.name': 'sparse',
          'GNU.sparse.realsize': '2000',
        }),
        craftedMember(
          {},
          Buffer.concat([Buffer.from('2\n0\n3\n1000\n4\n'.padEnd(BLOCK_SIZE, '\0')), Buffer.from('abcdefg')]),
        ),
      ]);
    default:
      return craftedMember({ name: 'usr/bin/tool', mode: 0o4755 }, content);
  }
}

function oldGnuSparse(random: RandomNumbers): Buffer {
  const octal = (number: number): string => `${number.toString(8).padStart(11, '0')}\0`;
  const extended = random(2);
  const extension = Buffer.alloc(extended * BLOCK_SIZE);
  if (extended === 1) extension.write(octal(60) + octal(10));
  const header = craftedHeader({
    type: 'S',
    magic: 'gnu',
    size: 20 + 10 * extended,
    patches: [
      [386, Buffer.from(octal(0) + octal(10) + octal(30) + octal(10))],
      [482, Buffer.from([extended])],
      [483, Buffer.from(octal(100))],
    ],
  });
  return Buffer.concat([header, extension, Buffer.alloc(BLOCK_SIZE, 's')]);
}

/** Byte values that have a meaning somewhere in the format. */
const telling = Buffer.from([
  0, 1, 0x0a, 0x20, 0x2d, 0x2f, 0x30, 0x37, 0x39, 0x3d, 0x4b, 0x4c, 0x53, 0x67, 0x78, 0x80, 0xff,
]);

function damage(archive: Buffer, random: RandomNumbers): Buffer {
  if (archive.length === 0) return archive;
  const position = random(archive.length);
  const block = BLOCK_SIZE * random(Math.ceil(archive.length / BLOCK_SIZE));
  const damaged = Buffer.from(archive);
  switch (random(8)) {
    case 0:
      damaged[position] = (damaged[position] ?? 0) ^ (1 << random(8));
      return damaged;
    case 1:
      return damaged.subarray(0, position);
    case 2:
      return Buffer.concat([archive.subarray(0, block), archive.subarray(block + BLOCK_SIZE)]);
    case 3:
      return Buffer.concat([archive.subarray(0, block + BLOCK_SIZE), archive.subarray(block)]);
    case 4:
      return Buffer.concat([archive, Buffer.alloc(random(700), random(256))]);
    case 5:
      return damaged.fill(0, block, Math.min(block + BLOCK_SIZE, damaged.length));
    case 6:
      damaged[block + random(BLOCK_SIZE)] = telling[random(telling.length)] ?? 0;
      return damaged;
    default:
      // The numeric fields, where a changed byte changes most.
      damaged[block + 100 + random(57)] = telling[random(telling.length)] ?? 0;
      return damaged;
  }
}

/** Gives blocks that look like headers the checksum they need, so that the damage gets past it. */
function mendChecksums(archive: Buffer): void {
  for (let start = 0; start + BLOCK_SIZE <= archive.length; start += BLOCK_SIZE) {
    const block = archive.subarray(start, start + BLOCK_SIZE);
    if (block.toString('latin1', 257, 262) === 'ustar') {
      writeOctal(block, fields.checksum[0], fields.checksum[1], checksum(block));
    }
  }
}
