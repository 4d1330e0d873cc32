import type { Command } from 'commander';
import type { SnapshotSummary } from '@layerstore/store';
import { printable } from '../../output/printable.js';
import type { Session } from '../../session.js';
import { addExamples } from '../help-text.js';

export function define(command: Command, session: Session): void {
  command
    .description('Show which snapshot stands on which, for each owner.')
    .option('--owner <name>', 'only those of one owner')
    .action(async (options: { owner?: string }) =>
      session.withStore(command, async (store) => {
        const snapshots = await store.snapshots.list(options.owner === undefined ? {} : { owner: options.owner });
        session.print(...snapshotTree(snapshots));
      }),
    );
  addExamples(command, [['layerstore snapshots tree', 'images as chains, containers as their leaves']]);
}

/** One line per snapshot, below its parent and two blanks further in. */
export function snapshotTree(snapshots: readonly SnapshotSummary[]): string[] {
  const owners = [...new Set(snapshots.map(({ owner }) => owner))].sort();
  return owners.flatMap((owner) => {
    const own = snapshots.filter((snapshot) => snapshot.owner === owner);
    const byParent = group(own);
    return [printable(owner), ...branches(byParent, undefined, 1)];
  });
}

function group(snapshots: readonly SnapshotSummary[]): Map<string | undefined, SnapshotSummary[]> {
  const byParent = new Map<string | undefined, SnapshotSummary[]>();
  for (const snapshot of snapshots) {
    byParent.set(snapshot.parent, [...(byParent.get(snapshot.parent) ?? []), snapshot]);
  }
  return byParent;
}

function branches(
  byParent: ReadonlyMap<string | undefined, readonly SnapshotSummary[]>,
  parent: string | undefined,
  depth: number,
): string[] {
  return (byParent.get(parent) ?? []).flatMap(({ key, kind, chainId }) => [
    `${'  '.repeat(depth)}${printable(key)} (${chainId === undefined ? kind : 'a layer of the store'})`,
    ...branches(byParent, key, depth + 1),
  ]);
}
