import { lstatSync, readFileSync, type BigIntStats } from 'node:fs';
import { join } from 'node:path';
import { isLayerId, type LayerId } from '@layerstore/core';
import { listOptional, unlessAbsent } from '../home/optional-file.js';

interface Listed {
  readonly parent: string;
  readonly version: string;
}

/** A list that was written a moment ago may be written to once more without its directory showing it. */
const settledAfterNs = 2_000_000_000n;

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
    const status = unlessAbsent(() => lstatSync(this.directory, { bigint: true }));
    if (status === undefined) return;
    const version = versionOf(status);
    if (version === this.#version) return;
    const now = BigInt(Date.now()) * 1_000_000n;
    this.#read();
    this.#version = now - status.mtimeNs > settledAfterNs ? version : '';
  }

  #read(): void {
    const children = new Map<string, string>();
    const names = new Set(listOptional(this.directory).map((entry) => entry.name));
    for (const name of this.#listed.keys()) if (!names.has(name)) this.#listed.delete(name);
    for (const name of names) {
      const parent = this.#parentOf(name);
      if (parent !== '') children.set(parent, name);
    }
    this.#children = children;
  }

  #parentOf(name: string): string {
    const path = join(this.directory, name);
    const status = unlessAbsent(() => lstatSync(path, { bigint: true }));
    if (status?.isFile() !== true) return '';
    const version = versionOf(status);
    const known = this.#listed.get(name);
    if (known?.version === version) return known.parent;
    const text = unlessAbsent(() => readFileSync(path, 'utf8')) ?? '';
    const parent = text.slice(0, Math.max(text.indexOf('\n'), 0));
    this.#listed.set(name, { parent, version });
    return parent;
  }
}

function versionOf({ ino, mtimeNs, ctimeNs, size }: BigIntStats): string {
  return `${ino}-${mtimeNs}-${ctimeNs}-${size}`;
}
