import { isDigest, StoreError, type ChainId, type Digest } from '@layerstore/core';
import type { MetaDatabase } from '../database/meta-database.js';
import type { Row } from '@layerstore/sqlite';

/** An image, as the database knows it; config and manifest are blobs. */
export interface ImageRecord {
  readonly id: Digest;
  /** Absent for an image without layers. */
  readonly chainId: ChainId | undefined;
  /** Digest of the manifest by which it came, where it had one. */
  readonly manifest: Digest | undefined;
  readonly manifestType: string | undefined;
  readonly size: number;
  readonly layers: number;
  readonly os: string;
  readonly architecture: string;
  readonly variant: string | undefined;
  /** Milliseconds since 1970, from the config. */
  readonly created: number;
  readonly stored: number;
}

export function findImage(database: MetaDatabase, id: Digest): ImageRecord | undefined {
  const row = database.prepare('SELECT * FROM images WHERE id = ?').get(id);
  return row === undefined ? undefined : decodeImage(row);
}

/** Inside a transaction. An image that is there keeps its record; a manifest is added where it had none. */
export function putImage(database: MetaDatabase, image: ImageRecord): void {
  database
    .prepare(
      `INSERT INTO images VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET manifest = coalesce(manifest, excluded.manifest),
           manifest_type = coalesce(manifest_type, excluded.manifest_type)`,
    )
    .run(
      image.id,
      image.chainId ?? null,
      image.manifest ?? null,
      image.manifestType ?? null,
      image.size,
      image.layers,
      image.os,
      image.architecture,
      image.variant ?? null,
      image.created,
      image.stored,
    );
}

export function deleteImage(database: MetaDatabase, id: Digest): void {
  database.prepare('DELETE FROM images WHERE id = ?').run(id);
}

export function allImages(database: MetaDatabase): Row[] {
  return database.prepare('SELECT * FROM images ORDER BY created DESC, id').all();
}

/** Inside a transaction: gives a canonical reference to an image, taking it from another. */
export function putName(database: MetaDatabase, reference: string, image: Digest): void {
  database
    .prepare('INSERT INTO names VALUES (?, ?) ON CONFLICT (reference) DO UPDATE SET image = excluded.image')
    .run(reference, image);
}

export function deleteName(database: MetaDatabase, reference: string): void {
  database.prepare('DELETE FROM names WHERE reference = ?').run(reference);
}

/** Canonical references of an image, sorted. */
export function namesOf(database: MetaDatabase, image: Digest): string[] {
  return database
    .prepare('SELECT reference FROM names WHERE image = ? ORDER BY reference')
    .all(image)
    .map((row) => String(row['reference']));
}

/**
 * Every image with its canonical references, newest first. Tables come as one JSON text each: the engines need longer to hand over ten
 * thousand rows than to read them.
 */
export function allNamedImages(database: MetaDatabase): { row: Row; references: string[] }[] {
  const { images, names } = database.read(() => ({
    images: readList<ImageColumns>(
      database,
      'json_array(id, chain_id, manifest, manifest_type, size, layers, os, architecture, variant, created, stored)',
      'images',
    ).map(imageRow),
    names: readList<[image: string, reference: string]>(database, 'json_array(image, reference)', 'names'),
  }));
  const references = new Map<unknown, string[]>();
  for (const [image, reference] of names) {
    const list = references.get(image);
    if (list === undefined) references.set(image, [reference]);
    else list.push(reference);
  }
  return images.sort(newestFirst).map((row) => ({ row, references: references.get(row['id'])?.sort() ?? [] }));
}

type ImageColumns = readonly unknown[];

function imageRow(columns: ImageColumns): Row {
  const [id, chain_id, manifest, manifest_type, size, layers, os, architecture, variant, created, stored] = columns;
  return { id, chain_id, manifest, manifest_type, size, layers, os, architecture, variant, created, stored };
}

function newestFirst(one: Row, two: Row): number {
  const age = (two['created'] as number) - (one['created'] as number);
  return age === 0 ? ((one['id'] as string) < (two['id'] as string) ? -1 : 1) : age;
}

function readList<Item>(database: MetaDatabase, item: string, table: string): Item[] {
  const list = database.prepare(`SELECT json_group_array(${item}) AS list FROM ${table}`).get()?.['list'];
  return JSON.parse(typeof list === 'string' ? list : '[]') as Item[];
}

/** The last millisecond of a Date (ECMA-262, section 21.4.1.1). */
const LATEST = 8.64e15;

/** @throws StoreError ERR_STORE_DAMAGED naming the record */
export function decodeImage(row: Row): ImageRecord {
  const { id, chain_id, manifest, manifest_type, size, layers, os, architecture, variant, created, stored } = row;
  const damaged = (field: string): StoreError =>
    new StoreError('ERR_STORE_DAMAGED', `image record: ${field} is malformed`, {
      subject: String(id),
      hint: 'remove the image by its id and load it again',
    });
  if (!isDigest(id)) throw damaged('the id');
  if (chain_id !== null && !isDigest(chain_id)) throw damaged('the chain ID');
  if (manifest !== null && !isDigest(manifest)) throw damaged('the manifest digest');
  if (typeof size !== 'number' || typeof layers !== 'number') throw damaged('the size');
  if (typeof created !== 'number' || typeof stored !== 'number') throw damaged('a time');
  if (!(Math.abs(created) <= LATEST)) throw damaged('a time');
  return {
    id,
    chainId: chain_id ?? undefined,
    manifest: manifest ?? undefined,
    manifestType: typeof manifest_type === 'string' ? manifest_type : undefined,
    size,
    layers,
    os: String(os),
    architecture: String(architecture),
    variant: typeof variant === 'string' ? variant : undefined,
    created,
    stored,
  };
}
