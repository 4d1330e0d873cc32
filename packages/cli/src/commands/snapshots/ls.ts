import type { Command } from 'commander';
import type { SnapshotSummary } from '@layerstore/store';
import { tableLines } from '../../output/table.js';
import { humanAge } from '../../output/times.js';
import type { Session } from '../../session.js';
import { addExamples } from '../help-text.js';

interface ListSnapshotsOptions {
  readonly owner?: string;
  readonly json?: true;
}

export function define(command: Command, session: Session): void {
  command
    .description(
      "List the snapshots of all engines, oldest first. A key is the engine's own: namespace, number and name for containerd.",
    )
    .option('--owner <name>', 'only those of one owner, as the list shows it')
    .option('--json', 'print the records as JSON')
    .action(async (options: ListSnapshotsOptions) =>
      session.withStore(command, async (store) => {
        const snapshots = await store.snapshots.list(options.owner === undefined ? {} : { owner: options.owner });
        if (options.json === true) session.printJson(snapshots);
        else session.print(...snapshotTable(snapshots));
      }),
    );
  addExamples(command, [
    ['layerstore snapshots ls', 'every snapshot of the root'],
    [
      `layerstore snapshots ls --json | jq -r '.[] | select(.chainId) | .key'`,
      'those that a layer of the store stands for',
    ],
  ]);
}

const header = ['ID', 'OWNER', 'KIND', 'CREATED', 'DIRECTORY', 'KEY', 'PARENT'];

export function snapshotTable(snapshots: readonly SnapshotSummary[]): string[] {
  return tableLines(header, snapshots.map(row));
}

function row({ id, owner, kind, created, cacheId, chainId, key, parent }: SnapshotSummary): string[] {
  const age = humanAge(new Date(created.seconds * 1000).toISOString());
  const directory = cacheId?.slice(0, 12) ?? (chainId === undefined ? '' : 'a layer');
  return [String(id), owner, kind, age, directory, key, parent ?? ''];
}
