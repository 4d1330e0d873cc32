import type { Stats } from 'node:fs';
import { lstat, readdir, readlink } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { fromSystemError } from '@layerstore/core';
import { linkTarget, memberName, type Member, type Members } from './members.js';

/**
 * The files of a directory. Symlinks are resolved by {@link findMember} inside the directory, component by component: one
 * that leaves it would make a program with more rights read files for whoever wrote the layout.
 */
export class DirectoryMembers implements Members {
  readonly form = 'directory';

  constructor(readonly subject: string) {}

  async lookup(name: string): Promise<Member | undefined> {
    const parts = name.split('/');
    for (let depth = 1; depth <= parts.length; depth++) {
      const path = join(this.subject, ...parts.slice(0, depth));
      const status = await statusOf(path);
      if (status === undefined) return undefined;
      if (status.isSymbolicLink()) {
        const text = await readlink(path);
        const target = linkTarget(parts.slice(0, depth - 1).join('/'), text);
        return {
          kind: 'link',
          text,
          target: target === undefined ? undefined : [target, ...parts.slice(depth)].join('/'),
          repeated: false,
        };
      }
      if (depth < parts.length) {
        if (!status.isDirectory()) return undefined;
      } else if (status.isFile()) {
        return { kind: 'file', range: { path, offset: 0, length: status.size }, repeated: false };
      } else {
        return { kind: 'other', type: status.isDirectory() ? 'directory' : 'special file', repeated: false };
      }
    }
    return undefined;
  }

  async names(): Promise<string[]> {
    const entries = await readdir(this.subject, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => !entry.isDirectory())
      .map((entry) => memberName(relative(this.subject, join(entry.parentPath, entry.name))))
      .filter((name) => name !== undefined);
  }
}

async function statusOf(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path);
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && (cause.code === 'ENOENT' || cause.code === 'ENOTDIR')) {
      return undefined;
    }
    throw fromSystemError(cause, path);
  }
}
