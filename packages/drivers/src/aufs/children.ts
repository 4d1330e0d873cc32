import { lstatSync, readFileSync, type BigIntStats } from 'node:fs';
import { join } from 'node:path';
import { isLayerId, type LayerId } from '@layerstore/core';
import { AT_FDCWD, AT_SYMLINK_NOFOLLOW, nativeSyscalls, S_IFMT, S_IFREG } from '@layerstore/linux';
import { listOptional, unlessAbsent } from '../home/optional-file.js';

interface Listed {
  readonly parent: string;
  readonly version: string;
}

/**
 * Which layers have children. Only the lists of the children tell, so they are read once and again when they change. Cost:
 * one status call as long as nothing was created or removed; otherwise one listing, one status call for each layer, and a read
 * for each new one.
 */
export class Children {
  readonly #listed = new Map<string, Listed>();
  #children = new Map<string, string>();
  #version = '';

  /** @param directory absolute path of `<home>/layers` */
  constructor(private readonly directory: string) {}

  /** One of the layers directly over `id`. */
  of(id: LayerId): LayerId | undefined {
    this.#update();
    const child = this.#children.get(id);
    return isLayerId(child) ? child : undefined;
  }

  #update(): void {
    const status = lstatSync(this.directory, { bigint: true, throwIfNoEntry: false });
    if (status === undefined) return;
    const version = versionOf(status);
    const unchanged = version === this.#version;
    // An empty list may be one that an engine has made a moment ago and is about to fill, which the directory does not show.
    const names = unchanged ? this.#emptyLists() : listOptional(this.directory).map((entry) => entry.name);
    if (!unchanged) this.#forgetOthers(new Set(names));
    for (const name of names) this.#read(name);
    if (names.length > 0) this.#children = new Map([...this.#listed].map(([name, { parent }]) => [parent, name]));
    this.#version = version;
  }

  #emptyLists(): string[] {
    return [...this.#listed].flatMap(([name, { parent }]) => (parent === '' ? [name] : []));
  }

  #forgetOthers(names: ReadonlySet<string>): void {
    for (const name of this.#listed.keys()) if (!names.has(name)) this.#listed.delete(name);
  }

  #read(name: string): void {
    const path = join(this.directory, name);
    const status = nativeSyscalls().statxIfPresent(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW);
    if (status === undefined || (status.mode & S_IFMT) !== S_IFREG) return;
    const version = `${status.inode}-${status.modifiedNs}-${status.changedNs}-${status.size}`;
    if (this.#listed.get(name)?.version === version) return;
    const text = unlessAbsent(() => readFileSync(path, 'utf8')) ?? '';
    this.#listed.set(name, { parent: text.slice(0, Math.max(text.indexOf('\n'), 0)), version });
  }
}

function versionOf({ ino, mtimeNs, ctimeNs }: BigIntStats): string {
  return `${ino}-${mtimeNs}-${ctimeNs}`;
}
