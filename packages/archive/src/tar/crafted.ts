import { StoreError, type ErrorCode } from '@layerstore/core';
import { BLOCK_SIZE, END_OF_ARCHIVE, padding } from './block.js';
import type { TarEntry } from './entry.js';
import { checksum, fields } from './header.js';
import type { TarLimits } from './limits.js';
import { writeOctal } from './numbers.js';
import { encodePaxRecord } from './pax.js';
import { TarReader } from './reader.js';

/**
 * Archives made by hand, for tests and fuzzing: every field can be given as text or bytes, also ones that no program
 * would write.
 */
export interface CraftedHeader {
  readonly name?: string | Buffer;
  /** One character; default `0`, a file. */
  readonly type?: string;
  /** Magic and version; default POSIX ustar. */
  readonly magic?: 'ustar' | 'gnu' | 'v7';
  readonly size?: number | Buffer;
  readonly linkName?: string;
  readonly mode?: number;
  readonly uid?: number | Buffer;
  readonly gid?: number | Buffer;
  readonly modified?: number | Buffer;
  /** Bytes laid over the finished block at an offset, before the checksum is taken. */
  readonly patches?: readonly (readonly [offset: number, bytes: Buffer])[];
}

const magics = { ustar: 'ustar\x0000', gnu: 'ustar  \0', v7: '' } as const;

export function craftedHeader(header: CraftedHeader): Buffer {
  const block = Buffer.alloc(BLOCK_SIZE);
  put(block, 'name', header.name ?? 'file');
  put(block, 'linkName', header.linkName ?? '');
  put(block, 'mode', header.mode ?? 0o644);
  put(block, 'uid', header.uid ?? 0);
  put(block, 'gid', header.gid ?? 0);
  put(block, 'size', header.size ?? 0);
  put(block, 'modified', header.modified ?? 0);
  put(block, 'typeFlag', header.type ?? '0');
  put(block, 'magic', magics[header.magic ?? 'ustar']);
  for (const [offset, bytes] of header.patches ?? []) bytes.copy(block, offset);
  put(block, 'checksum', checksum(block));
  return block;
}

function put(block: Buffer, field: keyof typeof fields, value: string | number | Buffer): void {
  const [offset, length] = fields[field];
  if (typeof value === 'number') writeOctal(block, offset, length, value);
  else Buffer.from(value).copy(block, offset, 0, length);
}

/** A header, its payload and the padding; the size is that of the payload unless the header states one. */
export function craftedMember(header: CraftedHeader, payload: Buffer | string = ''): Buffer {
  const bytes = Buffer.from(payload);
  return Buffer.concat([craftedHeader({ size: bytes.length, ...header }), bytes, padding(bytes.length)]);
}

/** A PAX extended header; `type` is `x` or `g`. */
export function craftedPax(records: Readonly<Record<string, string | Buffer>>, type: 'x' | 'g' = 'x'): Buffer {
  const body = Object.entries(records).map(([key, value]) => encodePaxRecord(key, value));
  return craftedMember({ type, name: 'PaxHeaders/file' }, Buffer.concat(body));
}

/** Joins members and closes the archive. */
export function craftedArchive(...members: readonly Buffer[]): Buffer {
  return Buffer.concat([...members, END_OF_ARCHIVE]);
}

export interface MemberRead {
  readonly entry: TarEntry;
  /** Holes included, as Latin-1. */
  readonly content: string;
}

/** Everything that an archive holds. */
export function readMembers(archive: Buffer, limits: Partial<TarLimits> = {}): MemberRead[] {
  const reader = new TarReader([archive], { limits });
  const members: MemberRead[] = [];
  for (let entry = reader.next(); entry !== undefined; entry = reader.next()) {
    const content = Buffer.alloc(entry.size);
    for (const { data, offset } of reader.payload()) data.copy(content, offset);
    members.push({ entry, content: content.toString('latin1') });
  }
  return members;
}

/** The one member of an archive that is made of these parts. @throws Error when it has none or more */
export function readMember(...parts: readonly Buffer[]): MemberRead {
  const [member, ...more] = readMembers(craftedArchive(...parts));
  if (member === undefined || more.length > 0) throw new Error('the archive does not have one member');
  return member;
}

/** How the reader refuses an archive. @throws Error when it does not */
export function refusal(archive: Buffer, limits: Partial<TarLimits> = {}): { code: ErrorCode; message: string } {
  try {
    readMembers(archive, limits);
  } catch (error) {
    if (!StoreError.is(error)) throw error;
    return { code: error.code, message: error.message };
  }
  throw new Error('the archive was accepted');
}
