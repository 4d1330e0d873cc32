/** Layer archives for tests, written member by member. */
import type { EntryType, TarEntry } from '../../tar/entry.js';
import { encodeHeader, END_OF_ARCHIVE, padding } from '../../tar/writer.js';

/** What is left out is an ordinary file of root with mode 0644 (directories 0755), from a fixed day. */
export interface CraftedMember {
  readonly name: string | Buffer;
  readonly type?: EntryType;
  readonly content?: string | Buffer;
  readonly link?: string | Buffer;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly modifiedNs?: bigint;
  readonly accessedNs?: bigint;
  readonly device?: readonly [major: number, minor: number];
  readonly xattrs?: Readonly<Record<string, string | Buffer>>;
}

/** 2023-11-14 22:13:20.123456789 */
export const FIXED_DAY = 1_700_000_000_123_456_789n;

export function memberBytes(member: CraftedMember): Buffer {
  const content = Buffer.from(member.content ?? '');
  const entry: TarEntry = {
    type: member.type ?? 'file',
    name: Buffer.from(member.name),
    linkName: Buffer.from(member.link ?? ''),
    mode: member.mode ?? (member.type === 'directory' ? 0o755 : 0o644),
    uid: member.uid ?? 0,
    gid: member.gid ?? 0,
    userName: Buffer.alloc(0),
    groupName: Buffer.alloc(0),
    size: content.length,
    modifiedNs: member.modifiedNs ?? FIXED_DAY,
    ...(member.accessedNs === undefined ? {} : { accessedNs: member.accessedNs }),
    deviceMajor: member.device?.[0] ?? 0,
    deviceMinor: member.device?.[1] ?? 0,
    xattrs: Object.entries(member.xattrs ?? {}).map(([name, value]) => ({
      name: Buffer.from(name),
      value: Buffer.from(value),
    })),
  };
  return Buffer.concat([encodeHeader(entry), content, padding(content.length)]);
}

/** A whole archive; members may also be given as the bytes that they are. */
export function layerArchive(...members: readonly (CraftedMember | Buffer)[]): Buffer {
  const bytes = members.map((member) => (Buffer.isBuffer(member) ? member : memberBytes(member)));
  return Buffer.concat([...bytes, END_OF_ARCHIVE]);
}

export const file = (
  name: string | Buffer,
  content: string | Buffer = '',
  rest: Partial<CraftedMember> = {},
): CraftedMember => ({
  name,
  content,
  ...rest,
});
export const directory = (name: string | Buffer, rest: Partial<CraftedMember> = {}): CraftedMember => ({
  name,
  type: 'directory',
  ...rest,
});
export const symlink = (
  name: string | Buffer,
  link: string | Buffer,
  rest: Partial<CraftedMember> = {},
): CraftedMember => ({
  name,
  type: 'symlink',
  link,
  ...rest,
});
export const hardLink = (name: string | Buffer, link: string | Buffer): CraftedMember => ({
  name,
  type: 'hardlink',
  link,
});
