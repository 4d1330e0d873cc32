import type { SnapshotSummary } from '@layerstore/store';
import { parseFilter, type Comparison, type Selector } from './parse-filter.js';

export type SnapshotFilter = (snapshot: SnapshotSummary) => boolean;

/**
 * Snapshots that match any of the filters; all, where there are none. Fields are `name`, `parent`, `kind` (`view`, `active`, `committed`)
 * and `labels.NAME`.
 * @throws StoreError ERR_INVALID_ARGUMENT
 */
export function snapshotFilter(filters: readonly string[]): SnapshotFilter {
  const parsed = filters.map(parseFilter);
  if (parsed.length === 0) return () => true;
  return (snapshot) => parsed.some((selectors) => selectors.every((selector) => holds(selector, snapshot)));
}

function holds({ fieldPath, comparison }: Selector, snapshot: SnapshotSummary): boolean {
  return compares(comparison, fieldOf(snapshot, fieldPath));
}

/** A field that is not there compares as an empty text, but is equal to none. */
function compares(comparison: Comparison, value: string | undefined): boolean {
  switch (comparison.operator) {
    case 'present':
      return value !== undefined;
    case '==':
      return value === comparison.value;
    case '!=':
      return (value ?? '') !== comparison.value;
    case '~=':
      return comparison.expression?.matcher(value ?? '').find() === true;
  }
}

function fieldOf(snapshot: SnapshotSummary, [field, ...rest]: readonly string[]): string | undefined {
  switch (field) {
    case 'name':
      return snapshot.key;
    case 'parent':
      return snapshot.parent ?? '';
    case 'kind':
      return snapshot.kind;
    case 'labels': {
      const name = rest.join('.');
      return Object.hasOwn(snapshot.labels, name) ? snapshot.labels[name] : undefined;
    }
    default:
      return undefined;
  }
}
