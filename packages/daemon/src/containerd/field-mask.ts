import { StoreError } from '@layerstore/core';
import type { LabelChange, Labels } from '@layerstore/store';

/**
 * What an Update asks for. An empty mask means all that may change, which is the labels; `labels.NAME` one of them, whatever NAME
 * contains.
 * @throws StoreError ERR_INVALID_ARGUMENT for any other field
 */
export function labelChanges(paths: readonly string[], labels: Labels): LabelChange[] {
  if (paths.length === 0) return [{ kind: 'replace', labels }];
  return paths.map((path) => {
    if (path === 'labels') return { kind: 'replace', labels };
    if (path.startsWith('labels.')) {
      const name = path.slice('labels.'.length);
      return { kind: 'set', name, value: labels[name] ?? '' };
    }
    throw new StoreError('ERR_INVALID_ARGUMENT', 'only labels of a snapshot can be changed', {
      subject: `field ${JSON.stringify(path)}`,
    });
  });
}
