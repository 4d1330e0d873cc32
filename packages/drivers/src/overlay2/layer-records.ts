/**
 * The records of the layers in an overlay2 home, as Docker's driver writes them.
 *
 * ```
 * <home>/<id>/diff/       the layer's changes: the upper while it is writable, a lower afterwards
 * <home>/<id>/link        the layer's short name, no line end
 * <home>/<id>/lower       l/AAA:l/BBB, the short names of all lowers, uppermost first; absent in a base layer
 * <home>/<id>/work/       for the kernel; absent in a base layer
 * <home>/<id>/merged/     where the view is mounted; there only while it is
 * <home>/<id>/committed   empty; the layer has a child, or had one: never an upper again
 * ```
 *
 * Engines write these files without syncing them: after a power cut `link` and `lower` may be empty and symlinks may be
 * gone. A container that is started with what is left shows wrong files without any error. So every read checks what it
 * finds, repairs what other records still tell, and fails with ERR_STORE_DAMAGED otherwise. In a home that is only read the
 * repair is not written down.
 *
 * podman and buildah (containers-storage) keep the same records; a base layer there has `work/` too, and an empty directory
 * `empty/` that stands in for its lower.
 */
import { closeSync, existsSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { isLayerId, parseLayerId, StoreError, type LayerId } from '@layerstore/core';
import { writeFileDurably } from '@layerstore/linux';
import type { Home } from '../home/home.js';
import { isDirectory, listOptional, readOptional } from '../home/optional-file.js';
import { isShortName, linkDirectory, reservedNames, ShortLinks } from './short-links.js';

/** One lower layer: its id, and the short name by which `lower` lists it. */
export interface LowerLayer {
  readonly id: LayerId;
  readonly shortName: string;
}

export class LayerRecords {
  readonly links: ShortLinks;
  readonly home: string;
  readonly #readOnly: boolean;

  constructor(home: Pick<Home, 'path' | 'readOnly'>) {
    this.links = new ShortLinks(home);
    this.home = home.path;
    this.#readOnly = home.readOnly;
  }

  /** @throws StoreError ERR_INVALID_ID, also for the names that the home itself uses */
  directory(id: LayerId): string {
    const checked = parseLayerId(id);
    if (reservedNames.includes(checked)) {
      throw new StoreError('ERR_INVALID_ID', 'the name is reserved in an overlay2 home', { subject: checked });
    }
    return `${this.home}/${checked}`;
  }

  file(id: LayerId, name: 'diff' | 'work' | 'merged' | 'link' | 'lower' | 'committed' | 'empty'): string {
    return `${this.directory(id)}/${name}`;
  }

  exists(id: LayerId): boolean {
    return isDirectory(this.directory(id));
  }

  /** @throws StoreError ERR_LAYER_NOT_FOUND, ERR_STORE_DAMAGED */
  requireLayer(id: LayerId): void {
    if (!this.exists(id)) {
      throw new StoreError('ERR_LAYER_NOT_FOUND', `there is no such layer in ${this.home}`, { subject: id });
    }
    if (!isDirectory(this.file(id, 'diff'))) throw damaged(this.file(id, 'diff'), 'the directory of the layer is gone');
  }

  list(): LayerId[] {
    return listOptional(this.home)
      .filter((entry) => entry.isDirectory() && !reservedNames.includes(entry.name))
      .map((entry) => entry.name)
      .filter(isLayerId);
  }

  isCommitted(id: LayerId): boolean {
    return existsSync(this.file(id, 'committed'));
  }

  /** From now on the layer is only read: a child depends on it. Not synced. */
  markCommitted(id: LayerId): void {
    closeSync(openSync(this.file(id, 'committed'), 'a', 0o600));
  }

  /** What `link` says, unchecked. */
  recordedName(id: LayerId): string | undefined {
    return readOptional(this.file(id, 'link'));
  }

  /**
   * The short name by which children list this layer; its symlink is there on return.
   * @throws StoreError ERR_STORE_DAMAGED when neither `link` nor a symlink tells the name
   */
  shortName(id: LayerId): string {
    const recorded = this.recordedName(id);
    if (recorded !== undefined && isShortName(recorded)) {
      this.links.require(recorded, id);
      return recorded;
    }
    const found = this.links.entries().find(([, layer]) => layer === id)?.[0];
    if (found === undefined) {
      throw damaged(this.file(id, 'link'), 'the short name is lost, and no symlink in l/ leads to the layer');
    }
    this.#mend(id, 'link', found);
    return found;
  }

  /**
   * All layers under `id`, uppermost first; empty for a base layer. Cost: three small reads for each.
   * @throws StoreError ERR_LAYER_NOT_FOUND, ERR_STORE_DAMAGED
   */
  lowers(id: LayerId): LowerLayer[] {
    this.requireLayer(id);
    const lowers = this.lowerNames(id).map((shortName) => ({ id: this.layerOf(shortName, id), shortName }));
    const [parent, ...rest] = lowers;
    if (parent !== undefined && !this.hasLowers(parent.id, rest)) {
      throw damaged(this.file(id, 'lower'), `the list does not agree with that of the parent, ${parent.id}`);
    }
    return lowers;
  }

  /** Keeps in memory what was just written of a new layer. */
  remember(_id: LayerId, _shortName: string, _lowers: readonly LowerLayer[]): void {
    // Nothing is kept here.
  }

  /** Drops what is kept in memory about a layer that is gone. */
  forget(_id: LayerId): void {
    // Nothing is kept here.
  }

  /**
   * The layer directly under `id`; `undefined` for a base layer. Cost: three small reads.
   * @throws StoreError ERR_LAYER_NOT_FOUND, ERR_STORE_DAMAGED
   */
  parent(id: LayerId): LayerId | undefined {
    this.requireLayer(id);
    const [name] = this.lowerNames(id);
    return name === undefined ? undefined : this.layerOf(name, id);
  }

  /** How mounts name a layer, relative to the home: shortly, or by its id in a home whose symlink is lost and stays so. */
  mountName({ id, shortName }: LowerLayer): string {
    const lost = this.#readOnly && this.links.target(shortName) !== id;
    return lost ? `${id}/diff` : `${linkDirectory}/${shortName}`;
  }

  /**
   * Makes the symlinks that layers have lost, and drops those whose layer is gone. Cost: two directory listings; where
   * the numbers differ, a few reads for each layer.
   */
  repairLinks(): void {
    const layers = this.list();
    if (this.links.count() === layers.length) return;
    for (const [name, layer] of this.links.entries()) {
      if (!this.exists(layer)) this.links.drop(name);
    }
    for (const id of layers) {
      const name = this.recordedName(id);
      if (name !== undefined && isShortName(name) && this.links.target(name) === undefined)
        this.links.require(name, id);
    }
  }

  #isBase(id: LayerId): boolean {
    return !existsSync(this.file(id, 'work')) || existsSync(this.file(id, 'empty'));
  }

  #mend(id: LayerId, record: 'link' | 'lower', content: string): void {
    if (!this.#readOnly) writeFileDurably(this.file(id, record), content, 0o644);
  }

  private lowerNames(id: LayerId): readonly string[] {
    const text = readOptional(this.file(id, 'lower'));
    if (text === undefined && this.#isBase(id)) return [];
    const names = text === undefined ? undefined : parseLower(text);
    if (names !== undefined) return names;
    const derived = this.lowerNamesByChild(id);
    if (derived === undefined) {
      throw damaged(
        this.file(id, 'lower'),
        `the list of lower layers is ${text === undefined ? 'missing' : 'damaged'}`,
      );
    }
    if (derived.length > 0) this.#mend(id, 'lower', formatLower(derived));
    return derived;
  }

  /** A layer's `lower` is its parent's short name followed by the parent's `lower`. */
  private lowerNamesByChild(id: LayerId): readonly string[] | undefined {
    const own = this.shortName(id);
    for (const other of this.list()) {
      const names = parseLower(readOptional(this.file(other, 'lower')) ?? '') ?? [];
      const at = names.indexOf(own);
      if (at >= 0) return names.slice(at + 1);
    }
    return undefined;
  }

  /** The layer that a short name stands for; `child` lists it. */
  private layerOf(name: string, child: LayerId): LayerId {
    const linked = this.links.target(name);
    if (linked !== undefined && this.recordedName(linked) === name && isDirectory(this.file(linked, 'diff'))) {
      return linked;
    }
    // The symlink is lost or leads astray, or an engine that created the layer twice has given it a second name.
    const owner = this.list().find((id) => this.recordedName(id) === name) ?? linked;
    if (owner === undefined || !isDirectory(this.file(owner, 'diff'))) {
      throw damaged(join(this.links.path, name), `${child} lies over a layer that is gone`);
    }
    this.links.require(name, owner);
    return owner;
  }

  /** Compares by layer, because a layer may have two short names. */
  private hasLowers(id: LayerId, expected: readonly LowerLayer[]): boolean {
    const names = this.lowerNames(id);
    const same = (name: string, lower: LowerLayer | undefined): boolean =>
      name === lower?.shortName || this.layerOf(name, id) === lower?.id;
    return names.length === expected.length && names.every((name, index) => same(name, expected[index]));
  }
}

export function formatLower(names: readonly string[]): string {
  return names.map((name) => `${linkDirectory}/${name}`).join(':');
}

/** `undefined` for anything but a list as {@link formatLower} writes it. */
function parseLower(text: string): readonly string[] | undefined {
  const names = text.split(':').map((part) => (part.startsWith('l/') ? part.slice(2) : ''));
  return names.every(isShortName) ? names : undefined;
}

function damaged(path: string, reason: string): StoreError {
  return new StoreError('ERR_STORE_DAMAGED', reason, {
    subject: path,
    hint: 'remove the layer and everything above it, then load the image again',
  });
}
