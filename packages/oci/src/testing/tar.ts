import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { encodePlainHeader, END_OF_ARCHIVE, padding, type EntryType } from '@layerstore/archive';

/** A member of an archive for a test: its bytes, or a link. */
export type TestMember = readonly [name: string, content: Buffer | string | TestLink];

export interface TestLink {
  readonly type: Exclude<EntryType, 'file'>;
  readonly target?: string;
}

export function tarOf(members: readonly TestMember[]): Buffer {
  const parts = members.map(([name, content]) => {
    if (typeof content === 'object' && 'type' in content)
      return encodePlainHeader(name, content.type, 0, content.target);
    const bytes = Buffer.from(content);
    return Buffer.concat([encodePlainHeader(name, 'file', bytes.length), bytes, padding(bytes.length)]);
  });
  return Buffer.concat([...parts, END_OF_ARCHIVE]);
}

/** Writes the same members as files and symlinks. */
export function writeTree(directory: string, members: readonly TestMember[]): string {
  for (const [name, content] of members) {
    const path = join(directory, name);
    mkdirSync(dirname(path), { recursive: true });
    if (typeof content !== 'object' || !('type' in content)) writeFileSync(path, content);
    else if (content.type === 'directory') mkdirSync(path);
    else symlinkSync(content.target ?? '', path);
  }
  return directory;
}
