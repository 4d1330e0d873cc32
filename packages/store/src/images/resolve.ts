import { digestHex, isDigest, StoreError, type Digest } from '@layerstore/core';
import { normaliseReference } from '@layerstore/oci';
import type { MetaDatabase } from '../database/meta-database.js';
import { findImage, type ImageRecord } from './image-records.js';

/** An image, and the canonical reference by which it was found, if it was not by id. */
export interface ResolvedImage {
  readonly image: ImageRecord;
  readonly reference: string | undefined;
}

/**
 * Finds an image as docker and podman do: by reference, full id, or a unique prefix of an id.
 * @throws StoreError ERR_IMAGE_NOT_FOUND, ERR_AMBIGUOUS_ID, ERR_INVALID_REFERENCE
 */
export function resolveImage(database: MetaDatabase, nameOrId: string): ResolvedImage {
  const id = findByName(database, nameOrId) ?? findById(database, nameOrId);
  const image = id === undefined ? undefined : findImage(database, id.image);
  if (id === undefined || image === undefined) {
    throw new StoreError('ERR_IMAGE_NOT_FOUND', 'no such image', {
      subject: nameOrId,
      hint: '`layerstore images` lists what is there, `layerstore load -i FILE` brings one in',
    });
  }
  return { image, reference: id.reference };
}

interface Found {
  readonly image: Digest;
  readonly reference: string | undefined;
}

function findByName(database: MetaDatabase, name: string): Found | undefined {
  if (isDigest(name)) return undefined;
  let reference: string;
  try {
    reference = normaliseReference(name);
  } catch (error) {
    // An abbreviated id such as `4F...` may be no valid reference and still be meant as one.
    if (/^[0-9a-f]{64}$/i.test(name)) return undefined;
    throw error;
  }
  const row = database.prepare('SELECT image FROM names WHERE reference = ?').get(reference);
  return isDigest(row?.['image']) ? { image: row['image'], reference } : undefined;
}

function findById(database: MetaDatabase, text: string): Found | undefined {
  const hex = isDigest(text) ? digestHex(text) : text.replace(/^sha256:/, '').toLowerCase();
  if (!/^[0-9a-f]{2,64}$/.test(hex)) return undefined;
  const rows = database
    .prepare('SELECT id FROM images WHERE id >= ? AND id < ? LIMIT 2')
    .all(`sha256:${hex}`, `sha256:${hex}g`);
  if (rows.length > 1) {
    throw new StoreError('ERR_AMBIGUOUS_ID', 'the abbreviated id fits several images', {
      subject: text,
      hint: 'give more digits; `layerstore images --no-trunc` shows all of them',
    });
  }
  const id = rows[0]?.['id'];
  return isDigest(id) ? { image: id, reference: undefined } : undefined;
}
