/**
 * `<state>/l/`: short names for layers and shadows, so that the paths of 252 lowers fit into the one page that mount(2)
 * takes.
 *
 * ```
 * <state>/l/<8 characters of a-z2-7>  ->  ../../diff/<id> or ../layers/<id>/<shadow>
 * ```
 *
 * A name follows from what it stands for, so nothing needs to be recorded.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readlinkSync, symlinkSync, unlinkSync } from 'node:fs';
import { join, relative } from 'node:path';
import { hasErrno } from '@layerstore/linux';
import { listOptional, unlessAbsent } from '../home/optional-file.js';

const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
const nameLength = 8;

export class ShortNames {
  readonly path: string;

  constructor(state: string) {
    this.path = join(state, 'l');
  }

  /** The name of an absolute path. Whether it leads there is {@link require}'s matter. */
  nameOf(target: string): string {
    return this.#find(relative(this.path, target)).name;
  }

  /** The name of an absolute path, which leads there on return. */
  require(target: string): string {
    const text = relative(this.path, target);
    for (;;) {
      const { name, exists } = this.#find(text);
      if (exists || this.#make(name, text)) return name;
    }
  }

  /** Drops the names that lead nowhere. Cost: a listing, and a status call for each name. */
  sweep(): void {
    for (const { name } of listOptional(this.path)) {
      const path = join(this.path, name);
      if (!existsSync(path)) unlessAbsent(() => unlinkSync(path));
    }
  }

  count(): number {
    return listOptional(this.path).length;
  }

  /** Two paths may want one name: the later gets another. */
  #find(text: string): { name: string; exists: boolean } {
    for (let attempt = 0; ; attempt++) {
      const name = shortName(text, attempt);
      const present = unlessAbsent(() => readlinkSync(join(this.path, name)));
      if (present === undefined || present === text) return { name, exists: present === text };
    }
  }

  /** False when another process has taken the name. */
  #make(name: string, text: string): boolean {
    mkdirSync(this.path, { recursive: true, mode: 0o700 });
    try {
      symlinkSync(text, join(this.path, name));
      return true;
    } catch (error) {
      if (hasErrno(error, 'EEXIST')) return false;
      throw error;
    }
  }
}

function shortName(text: string, attempt: number): string {
  const digest = createHash('sha256').update(`${attempt} ${text}`).digest();
  return Array.from(digest.subarray(0, nameLength), (byte) => alphabet.charAt(byte % alphabet.length)).join('');
}
