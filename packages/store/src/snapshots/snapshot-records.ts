/** Rows of `snapshots`. Keys and labels are the engine's and opaque: they never become part of a path. */
import { isDigest, parseLayerId, StoreError, type ChainId, type LayerId } from '@layerstore/core';
import type { MetaDatabase } from '../database/meta-database.js';
import type { Row } from '@layerstore/sqlite';
import type { SnapshotKind, SnapshotSummary, SnapshotUsage, Timestamp } from '../model.js';

export type Labels = Readonly<Record<string, string>>;

export interface SnapshotRecord {
  readonly id: number;
  readonly owner: string;
  readonly key: string;
  readonly kind: SnapshotKind;
  readonly parent: number | undefined;
  readonly parentKey: string | undefined;
  /** The layer of the store that stands for it. */
  readonly chainId: ChainId | undefined;
  /** Its own directory in the home. */
  readonly cacheId: LayerId | undefined;
  /** The directory that shows it: its own or the layer's; absent for a view over a parent. */
  readonly shownBy: LayerId | undefined;
  readonly labels: Labels;
  readonly created: Timestamp;
  readonly updated: Timestamp;
  /** Known once a committed snapshot was measured. */
  readonly usage: SnapshotUsage | undefined;
}

export type NewSnapshot = Pick<SnapshotRecord, 'owner' | 'key' | 'kind' | 'parent' | 'chainId' | 'cacheId' | 'labels'>;

const select = `SELECT s.*, p.key AS parent_key, l.cache_id AS layer_cache_id FROM snapshots s
  LEFT JOIN snapshots p ON p.id = s.parent LEFT JOIN layers l ON l.chain_id = s.chain_id`;

export function findSnapshot(database: MetaDatabase, owner: string, key: string): SnapshotRecord | undefined {
  const row = database.prepare(`${select} WHERE s.owner = ? AND s.key = ?`).get(owner, encodeKey(key));
  return row === undefined ? undefined : decodeSnapshot(row);
}

/** @throws StoreError ERR_SNAPSHOT_NOT_FOUND */
export function requireSnapshot(database: MetaDatabase, owner: string, key: string): SnapshotRecord {
  const snapshot = findSnapshot(database, owner, key);
  if (snapshot !== undefined) return snapshot;
  throw new StoreError('ERR_SNAPSHOT_NOT_FOUND', 'there is no such snapshot: not found', { subject: shown(key) });
}

export function snapshotById(database: MetaDatabase, id: number): SnapshotRecord | undefined {
  const row = database.prepare(`${select} WHERE s.id = ?`).get(id);
  return row === undefined ? undefined : decodeSnapshot(row);
}

/** A block of an owner's snapshots in the order of their making; every owner's without `owner`. */
export function listSnapshots(
  database: MetaDatabase,
  page: { readonly owner?: string; readonly after?: number; readonly limit?: number },
): SnapshotRecord[] {
  const { owner, after = 0, limit = Number.MAX_SAFE_INTEGER } = page;
  const rows =
    owner === undefined
      ? database.prepare(`${select} WHERE s.id > ? ORDER BY s.id LIMIT ?`).all(after, limit)
      : database.prepare(`${select} WHERE s.owner = ? AND s.id > ? ORDER BY s.id LIMIT ?`).all(owner, after, limit);
  return rows.map(decodeSnapshot);
}

/** @throws StoreError ERR_EXISTS */
export function refuseTakenKey(database: MetaDatabase, owner: string, key: string): void {
  const found = database.prepare('SELECT 1 FROM snapshots WHERE owner = ? AND key = ?').get(owner, encodeKey(key));
  if (found !== undefined) throw taken(key);
}

/** @returns its id @throws StoreError ERR_EXISTS */
export function insertSnapshot(
  database: MetaDatabase,
  snapshot: NewSnapshot,
  now: Timestamp,
  durability: { readonly synced: boolean; readonly bootId: string },
): number {
  const inserted = database
    .prepare(
      `INSERT INTO snapshots (owner, key, kind, parent, chain_id, cache_id, labels, created_s, created_ns, updated_s, updated_ns,
         synced, boot_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?8, ?9, ?10, ?11)
         ON CONFLICT (owner, key) DO NOTHING RETURNING id`,
    )
    .get(
      snapshot.owner,
      encodeKey(snapshot.key),
      snapshot.kind,
      snapshot.parent ?? null,
      snapshot.chainId ?? null,
      snapshot.cacheId ?? null,
      encodeLabels(snapshot.labels),
      now.seconds,
      now.nanoseconds,
      durability.synced ? 1 : 0,
      durability.bootId,
    );
  if (inserted === undefined) throw taken(snapshot.key);
  return Number(inserted['id']);
}

/** Turns an active snapshot into a committed one of another name. @throws StoreError ERR_EXISTS */
export function commitRow(
  database: MetaDatabase,
  snapshot: SnapshotRecord,
  committed: { readonly name: string; readonly labels: Labels; readonly synced: boolean; readonly now: Timestamp },
): void {
  refuseTakenKey(database, snapshot.owner, committed.name);
  const { seconds, nanoseconds } = committed.now;
  database
    .prepare(
      `UPDATE snapshots SET key = ?2, kind = 'committed', labels = ?3, created_s = ?4, created_ns = ?5, updated_s = ?4, updated_ns = ?5,
         synced = ?6 WHERE id = ?1`,
    )
    .run(
      snapshot.id,
      encodeKey(committed.name),
      encodeLabels(committed.labels),
      seconds,
      nanoseconds,
      committed.synced ? 1 : 0,
    );
}

export function updateLabels(database: MetaDatabase, id: number, labels: Labels, now: Timestamp): void {
  database
    .prepare('UPDATE snapshots SET labels = ?2, updated_s = ?3, updated_ns = ?4 WHERE id = ?1')
    .run(id, encodeLabels(labels), now.seconds, now.nanoseconds);
}

export function recordUsage(database: MetaDatabase, id: number, { size, inodes }: SnapshotUsage): void {
  database
    .prepare(`UPDATE snapshots SET size = ?2, inodes = ?3 WHERE id = ?1 AND kind = 'committed'`)
    .run(id, size, inodes);
}

/** Whether a snapshot is still there: ids are never used again, and what a committed one stands for never changes. */
export function isRecorded(database: MetaDatabase, id: number): boolean {
  return database.prepare('SELECT 1 FROM snapshots WHERE id = ?').get(id) !== undefined;
}

export function hasChildren(database: MetaDatabase, id: number): boolean {
  return database.prepare('SELECT 1 FROM snapshots WHERE parent = ? LIMIT 1').get(id) !== undefined;
}

export function deleteSnapshot(database: MetaDatabase, id: number): void {
  database.prepare('DELETE FROM snapshots WHERE id = ?').run(id);
}

export function snapshotSummary(snapshot: Omit<SnapshotRecord, 'parent' | 'shownBy' | 'usage'>): SnapshotSummary {
  const { id, owner, key, kind, labels, created, updated, parentKey, chainId, cacheId } = snapshot;
  return {
    id,
    owner,
    key,
    kind,
    ...(parentKey === undefined ? {} : { parent: parentKey }),
    labels,
    created,
    updated,
    ...(chainId === undefined ? {} : { chainId }),
    ...(cacheId === undefined ? {} : { cacheId }),
  };
}

/** Both engines give text back only up to a NUL, which may be part of a key. */
function encodeKey(key: string): string {
  return key.replaceAll('%', '%25').replaceAll('\0', '%00');
}

function decodeKey(text: string): string {
  return text.replaceAll('%00', '\0').replaceAll('%25', '%');
}

/** containerd's own stores keep no label with an empty value. */
export function keptLabels(labels: Labels): Labels {
  return Object.fromEntries(Object.entries(labels).filter(([, value]) => value !== ''));
}

function encodeLabels(labels: Labels): string {
  return JSON.stringify(keptLabels(labels));
}

function decodeSnapshot(row: Row): SnapshotRecord {
  const { id, owner, key, kind, parent, parent_key, chain_id, cache_id, layer_cache_id, size, inodes } = row;
  const cacheId = cache_id === null ? undefined : parseLayerId(cache_id);
  if (kind !== 'view' && kind !== 'active' && kind !== 'committed') throw damaged(row, 'its kind is unknown');
  return {
    id: Number(id),
    owner: String(owner),
    key: decodeKey(String(key)),
    kind,
    parent: typeof parent === 'number' ? parent : undefined,
    parentKey: typeof parent_key === 'string' ? decodeKey(parent_key) : undefined,
    chainId: isDigest(chain_id) ? chain_id : undefined,
    cacheId,
    shownBy: cacheId ?? (typeof layer_cache_id === 'string' ? parseLayerId(layer_cache_id) : undefined),
    labels: decodeLabels(row),
    created: { seconds: Number(row['created_s']), nanoseconds: Number(row['created_ns']) },
    updated: { seconds: Number(row['updated_s']), nanoseconds: Number(row['updated_ns']) },
    usage: typeof size === 'number' && typeof inodes === 'number' ? { size, inodes } : undefined,
  };
}

function decodeLabels(row: Row): Labels {
  try {
    return JSON.parse(String(row['labels'])) as Labels;
  } catch (cause) {
    throw damaged(row, 'its labels cannot be read', cause);
  }
}

function damaged(row: Row, reason: string, cause?: unknown): StoreError {
  return new StoreError('ERR_STORE_DAMAGED', `snapshot record: ${reason}`, {
    subject: String(row['key']),
    hint: 'restore meta.db from a backup',
    cause,
  });
}

function taken(key: string): StoreError {
  return new StoreError('ERR_EXISTS', 'a snapshot of this name exists: already exists', { subject: shown(key) });
}

/** Keys hold anything; an error shows them on one line and not at any length. */
function shown(key: string): string {
  return `snapshot ${JSON.stringify(key.length > 200 ? `${key.slice(0, 200)}...` : key)}`;
}
