import { existsSync } from 'node:fs';
import type { FormChange, OverlayMarkFamily, ParkedRecord } from '@layerstore/archive';
import { StoreError } from '@layerstore/core';
import { writeFileDurably } from '@layerstore/linux';
import { readOptional } from '../home/optional-file.js';

/**
 * What is written down about a layer that is not, or not wholly, in aufs form.
 *
 * `opening` and `closing`: the change may be done in part, and is to be performed again. `open`: the layer is in overlay form.
 */
export type FormRecord =
  | { readonly phase: 'opening'; readonly change: FormChange }
  | { readonly phase: 'open'; readonly parked: ParkedRecord; readonly marks: OverlayMarkFamily }
  | { readonly phase: 'closing'; readonly change: FormChange };

/** @throws StoreError ERR_STORE_DAMAGED */
export function readFormRecord(file: string): FormRecord | undefined {
  // Most layers have none: an error costs ten times the question.
  const text = existsSync(file) ? readOptional(file) : undefined;
  if (text === undefined) return undefined;
  const record = parse(text);
  if (record !== undefined) return record;
  throw new StoreError('ERR_STORE_DAMAGED', 'the record of how far a layer was translated cannot be read', {
    subject: file,
    hint: 'remove the layer; or, if its directory in diff/ holds no devices 0:0 and no overlay attributes, only the record',
  });
}

/** @throws StoreError ERR_NO_SPACE, ERR_IO */
export function writeFormRecord(file: string, record: FormRecord): void {
  writeFileDurably(file, JSON.stringify(record));
}

function parse(text: string): FormRecord | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The file is layerstore's own, replaced whole: a look at its head tells whether it is one. */
function isRecord(value: unknown): value is FormRecord {
  if (typeof value !== 'object' || value === null || !('phase' in value)) return false;
  if (value.phase === 'open') return 'parked' in value && Array.isArray(value.parked) && 'marks' in value;
  if (value.phase !== 'opening' && value.phase !== 'closing') return false;
  return 'change' in value && typeof value.change === 'object' && value.change !== null;
}
