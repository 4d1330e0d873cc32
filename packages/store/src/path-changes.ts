import type { Change } from '@layerstore/archive';
import type { PathChange } from './model.js';

/** Changes as records of text; bytes that are not UTF-8 are kept beside it. */
export function pathChanges(changes: readonly Change[]): PathChange[] {
  return changes.map((change) => {
    const bytes = Buffer.from(change.path);
    const path = bytes.toString('utf8');
    return Buffer.from(path, 'utf8').equals(bytes)
      ? { kind: change.kind, path }
      : { kind: change.kind, path, pathBytes: bytes.toString('base64') };
  });
}
