/**
 * The directories of thin layers in their repositories, and in which form they are.
 *
 * ```
 * <state>/thin/layers/<hash of the URL>/markers   the whiteouts in it, found by looking through it once
 * <state>/thin/layers/<hash of the URL>/...       shadow layers
 * ```
 *
 * A layer that was unpacked into its repository as it came has whiteouts as files, `.wh.NAME`; one that was converted has them as
 * devices 0:0 and `trusted.overlay.opaque`, as an overlay wants them.
 */
import { createHash } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { readMarkerList, writeMarkerList, type AufsMarkerList } from '@layerstore/archive';
import { fromSystemError, StoreError } from '@layerstore/core';
import { hasErrno, nativeSyscalls } from '@layerstore/linux';
import type { AufsWork } from '../aufs/aufs-work.js';
import { isMountedFrom } from '../aufs/mounts-over.js';
import { listOptional } from '../home/optional-file.js';
import type { TreeWork } from '../home/tree-work.js';
import type { ForeignLayer } from '../restacking.js';
import type { PinnedRepository } from './layer-source.js';
import type { ThinEntry } from './thin-file.js';

export interface RepositoryLayerParts {
  /** The home's directory for what is layerstore's own. */
  readonly state: string;
  readonly work: Pick<AufsWork, 'shadows'>;
  readonly trees: Pick<TreeWork, 'remove'>;
}

/** A repository layer that can be read. */
export interface OpenLayer extends ForeignLayer {
  /** Nothing below it is seen. */
  readonly hidesAllBelow: boolean;
}

type Markers = AufsMarkerList['marked'];

export class RepositoryLayers {
  readonly #known = new Map<string, { readonly identity: string; readonly marked: Markers }>();

  constructor(private readonly parts: RepositoryLayerParts) {}

  /**
   * Finds the directory of a layer and, once for each content, its whiteouts. Cost then: a listing of every directory in it.
   * @throws StoreError ERR_NOT_FOUND when the repository has no such directory
   * @throws StoreError ERR_MALFORMED_THIN_LAYER for one that leads out of the repository by a symlink, ERR_IO
   */
  async open(entry: ThinEntry, { path: root, revision }: PinnedRepository): Promise<OpenLayer> {
    const { path, status } = await findDirectory(root, entry);
    const identity = `${revision ?? ''} ${revision === undefined ? `${status.ino}-${status.ctimeNs}` : ''}`;
    const notes = join(this.parts.state, 'thin', 'layers', hashOf(entry.url));
    const marked = await this.#markers({ path, notes, identity });
    const isAufs = marked.some(({ markers }) => markers.length > 0);
    return {
      kind: 'foreign',
      tree: { path, dialect: isAufs ? 'aufs' : 'overlay' },
      notes,
      identity,
      hidesAllBelow: isAufs ? isOpaqueRoot(marked) : hasOpaqueAttribute(path),
    };
  }

  /**
   * Deletes what was noted of layers that no thin layer names any more. Nothing is asked where nothing was noted.
   * @param named URLs; when it fails, everything is kept
   */
  async sweep(named: () => Promise<ReadonlySet<string>>): Promise<void> {
    const directory = join(this.parts.state, 'thin', 'layers');
    const noted = listOptional(directory).map(({ name }) => name);
    if (noted.length === 0) return;
    let known: Set<string>;
    try {
      known = new Set([...(await named())].map(hashOf));
    } catch (error) {
      // A damaged layer is told to whoever uses it; it must not keep the home from being opened.
      if (StoreError.is(error)) return;
      throw error;
    }
    for (const name of noted) {
      const path = join(directory, name);
      if (!known.has(name) && !isMountedFrom(path)) await this.parts.trees.remove(path);
    }
  }

  async #markers({
    path,
    notes,
    identity,
  }: Pick<OpenLayer, 'notes' | 'identity'> & { path: string }): Promise<Markers> {
    const known = this.#known.get(notes);
    if (known?.identity === identity) return known.marked;
    const list = join(notes, 'markers');
    const marked = readMarkerList(list, path, identity) ?? (await this.#search({ path, list, notes, identity }));
    this.#known.set(notes, { identity, marked });
    return marked;
  }

  async #search(layer: { path: string; list: string; notes: string; identity: string }): Promise<Markers> {
    const { marked } = await this.parts.work.shadows({ layers: [{ path: layer.path }], pairs: [] });
    const found = marked[0] ?? [];
    mkdirSync(layer.notes, { recursive: true, mode: 0o700 });
    writeMarkerList(layer.list, layer.path, found, layer.identity);
    return found;
  }
}

/**
 * A repository is signed, but not by who runs this machine: no symlink in it leads anywhere. Asked without blocking: the answer
 * may come over the network.
 */
async function findDirectory(
  root: string,
  { path, url }: ThinEntry,
): Promise<{ path: string; status: { readonly ino: bigint; readonly ctimeNs: bigint } }> {
  let found = root;
  for (const part of ['', ...path.split('/')]) {
    found = part === '' ? found : join(found, part);
    const status = await statusOf(found, url);
    // The root itself may be a symlink of who mounts repositories.
    if (part === '' || status.isDirectory()) continue;
    if (!status.isSymbolicLink()) throw absent(url, 'it is no directory');
    throw new StoreError('ERR_MALFORMED_THIN_LAYER', 'its path leads through a symbolic link of the repository', {
      subject: url,
      hint: 'name the directory itself in thin.json',
    });
  }
  return { path: found, status: await statusOf(found, url) };
}

async function statusOf(path: string, url: string) {
  try {
    return await lstat(path, { bigint: true });
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR')) throw absent(url, 'the repository has no such directory');
    throw fromSystemError(error, url);
  }
}

function absent(url: string, reason: string): StoreError {
  return new StoreError('ERR_NOT_FOUND', reason, {
    subject: url,
    hint: 'the layer was removed from the repository, or is not published yet',
  });
}

function isOpaqueRoot(marked: Markers): boolean {
  return marked.some(({ path, markers }) => path === '' && markers.includes('.wh..wh..opq'));
}

function hasOpaqueAttribute(path: string): boolean {
  return nativeSyscalls().getXattr(path, 'trusted.overlay.opaque')?.toString() === 'y';
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}
