import { StoreError } from '@layerstore/core';
import { pathText } from '../tree/paths.js';

/** @param path below the root */
export function changedEntry(path: Buffer): StoreError {
  return new StoreError('ERR_IO', 'the entry changed while the tree was read', {
    subject: `/${pathText(path)}`,
    hint: 'stop or pause whatever writes there, and try again',
  });
}
