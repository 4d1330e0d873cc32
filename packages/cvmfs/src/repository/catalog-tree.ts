import { hasCode } from '@layerstore/core';
import type { RepositoryLimits } from '../configuration/configuration.js';
import { malformed } from '../format/malformed.js';
import { contentKey, type ObjectReference } from '../format/object-reference.js';
import type { LocalObjectSource } from '../objects/object-source.js';
import type { Answer, MissingCatalog } from './answer.js';
import { Catalog } from './catalog.js';
import type { Entry } from './entry.js';
import { parseEntry, type RowContext } from './parse-entry.js';
import { pathKey, splitPath, type PathKey } from './path.js';

/** A catalog at its place in the tree. */
export interface MountedCatalog {
  /** Where its root is. */
  readonly path: Buffer;
  readonly reference: ObjectReference;
  readonly catalog: Catalog;
  readonly above: MountedCatalog | undefined;
  /** Its own row for its root. */
  readonly root: Entry;
}

/** Catalogs inside one another; the genuine tools make a handful of levels. */
const DEPTH_LIMIT = 128;

export interface CatalogTreeOptions {
  readonly repository: string;
  readonly local: LocalObjectSource;
  readonly limits: RepositoryLimits;
  readonly linkVariables: Readonly<Record<string, string>> | undefined;
}

/** The catalogs of one revision that are open, found by the paths that they are responsible for. */
export class CatalogTree implements Disposable {
  readonly #mounts = new Map<PathKey, MountedCatalog>();

  constructor(private readonly options: CatalogTreeOptions) {}

  /** Opens the root catalog, or asks for it. @throws StoreError ERR_MALFORMED_REPOSITORY, ERR_LIMIT_EXCEEDED */
  openRoot(reference: ObjectReference): Answer<MountedCatalog> {
    return this.#attach(Buffer.alloc(0), reference, undefined, Buffer.alloc(0));
  }

  /**
   * The catalog that has the content of a directory.
   * @throws StoreError ERR_MALFORMED_REPOSITORY, ERR_LIMIT_EXCEEDED
   */
  responsibleFor(directory: Buffer): Answer<MountedCatalog> {
    let mounted = this.#nearest(directory);
    for (;;) {
      const next = this.#mountPointBelow(mounted, directory);
      if (next === undefined) return { kind: 'found', value: mounted };
      const inner = this.innerPath(mounted, next);
      const nested = mounted.catalog.nested.get(pathKey(inner));
      if (nested === undefined) return { kind: 'found', value: mounted };
      const attached = this.#attach(next, nested.catalog, mounted, nested.kind === 'nested' ? inner : undefined);
      if (attached.kind !== 'found') return attached;
      mounted = attached.value;
    }
  }

  /** The path of something as the catalog that it is in calls it. */
  innerPath({ path, catalog }: MountedCatalog, whole: Buffer): Buffer {
    return isMoved(path, catalog) ? Buffer.concat([catalog.prefix, whole.subarray(path.length)]) : whole;
  }

  /** What rows of a directory are read with. */
  rowContext({ path, catalog, reference }: Omit<MountedCatalog, 'root'>, directory: Buffer): RowContext {
    return {
      directory,
      catalog: contentKey(reference),
      isMoved: isMoved(path, catalog),
      linkVariables: this.options.linkVariables,
      subject: this.#subject(directory),
    };
  }

  [Symbol.dispose](): void {
    for (const { catalog } of this.#mounts.values()) catalog[Symbol.dispose]();
    this.#mounts.clear();
  }

  #nearest(directory: Buffer): MountedCatalog {
    let key: PathKey = pathKey(directory);
    for (;;) {
      const mounted = this.#mounts.get(key);
      if (mounted !== undefined) {
        this.#used(key, mounted);
        return mounted;
      }
      if (key === '') throw malformed(this.options.repository, 'it has no root catalog');
      key = key.slice(0, key.lastIndexOf('/'));
    }
  }

  /** The first directory on the way down that a further catalog is responsible for. */
  #mountPointBelow(mounted: MountedCatalog, directory: Buffer): Buffer | undefined {
    if (mounted.catalog.nested.size === 0) return undefined;
    let end = mounted.path.length;
    for (const component of splitPath(directory.subarray(end))) {
      end += component.length + 1;
      const candidate = directory.subarray(0, end);
      if (mounted.catalog.nested.has(pathKey(this.innerPath(mounted, candidate)))) return candidate;
    }
    return undefined;
  }

  /** @param prefix what the catalog has to say of its root; undefined where a tree is shown at a further place */
  #attach(
    path: Buffer,
    reference: ObjectReference,
    above: MountedCatalog | undefined,
    prefix: Buffer | undefined,
  ): Answer<MountedCatalog> {
    this.#refuseCycle(path, reference, above);
    const missing: MissingCatalog = { kind: 'needs', catalog: reference, path };
    const local = this.options.local.find(reference);
    if (local === undefined) return missing;
    let catalog: Catalog;
    try {
      catalog = new Catalog(local.path, this.#subject(path), this.options.limits);
    } catch (error) {
      // Another process cleaned it up since it was found.
      if (hasCode(error, 'ERR_NOT_FOUND')) return missing;
      throw error;
    }
    try {
      const place = { path, reference, catalog, above };
      if (prefix !== undefined && !prefix.equals(catalog.prefix)) {
        throw malformed(this.#subject(path), `its catalog is one for ${shown(catalog.prefix)}`);
      }
      const mounted = { ...place, root: this.#rootOf(place) };
      this.#closeSome();
      this.#mounts.set(pathKey(path), mounted);
      return { kind: 'found', value: mounted };
    } catch (error) {
      catalog[Symbol.dispose]();
      throw error;
    }
  }

  #rootOf(place: Omit<MountedCatalog, 'root'>): Entry {
    const row = place.catalog.rowOf(place.catalog.prefix);
    const subject = this.#subject(place.path);
    if (row === undefined) throw malformed(subject, 'its catalog has no entry for it');
    const entry = parseEntry(row, { ...this.rowContext(place, place.path), rootPath: place.path });
    if (entry.type !== 'directory') throw malformed(subject, 'the root of its catalog is no directory');
    return { ...entry, isMountPoint: place.above !== undefined };
  }

  #refuseCycle(path: Buffer, reference: ObjectReference, above: MountedCatalog | undefined): void {
    let depth = 0;
    for (let mounted = above; mounted !== undefined; mounted = mounted.above) {
      depth += 1;
      const isSame = contentKey(mounted.reference) === contentKey(reference);
      if (isSame) throw malformed(this.#subject(path), `its catalog is inside itself (${shown(mounted.path)})`);
      if (depth >= DEPTH_LIMIT)
        throw malformed(this.#subject(path), `more than ${DEPTH_LIMIT} catalogs in one another`);
    }
  }

  #used(key: PathKey, mounted: MountedCatalog): void {
    // A map keeps the order of insertion: the first is the one used longest ago.
    this.#mounts.delete(key);
    this.#mounts.set(key, mounted);
  }

  /** The root stays: every search ends there. */
  #closeSome(): void {
    for (const [key, { catalog }] of this.#mounts) {
      if (this.#mounts.size < this.options.limits.openCatalogs) return;
      if (key === '') continue;
      this.#mounts.delete(key);
      catalog[Symbol.dispose]();
    }
  }

  #subject(path: Buffer): string {
    return `${this.options.repository}:${shown(path)}`;
  }
}

const isMoved = (path: Buffer, { prefix }: Catalog): boolean => !path.equals(prefix);

const shown = (path: Buffer): string => (path.length === 0 ? '/' : path.toString('utf8'));
