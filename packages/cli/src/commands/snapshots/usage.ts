import type { Command } from 'commander';
import { hasCode } from '@layerstore/core';
import type { LayerStore, SnapshotSummary, SnapshotUsage } from '@layerstore/store';
import { humanSize } from '../../output/sizes.js';
import { tableLines } from '../../output/table.js';
import type { Session } from '../../session.js';
import { addExamples } from '../help-text.js';

interface SnapshotUsageOptions {
  readonly owner?: string;
  readonly json?: true;
}

type Measured = SnapshotSummary & SnapshotUsage;

export function define(command: Command, session: Session): void {
  command
    .description(
      'Show what each snapshot takes by itself, the largest first: allocated bytes, hard links once. A snapshot that a layer of the store ' +
        'stands for takes nothing more than the layer. Active snapshots are walked.',
    )
    .option('--owner <name>', 'only those of one owner')
    .option('--json', 'print the records as JSON; sizes in bytes')
    .action(async (options: SnapshotUsageOptions) =>
      session.withStore(command, async (store) => {
        const snapshots = await store.snapshots.list(options.owner === undefined ? {} : { owner: options.owner });
        const measured = await measure(store, snapshots);
        measured.sort((one, other) => other.size - one.size);
        if (options.json === true) session.printJson(measured);
        else session.print(...tableLines(['SIZE', 'INODES', 'KIND', 'OWNER', 'KEY'], measured.map(row)));
      }),
    );
  addExamples(command, [['layerstore snapshots usage | head', 'what takes the room']]);
}

async function measure(store: LayerStore, snapshots: readonly SnapshotSummary[]): Promise<Measured[]> {
  const measured: Measured[] = [];
  for (const snapshot of snapshots) {
    try {
      measured.push({ ...snapshot, ...(await store.snapshots.usage(snapshot.owner, snapshot.key)) });
    } catch (error) {
      // The engine has removed or committed it since the list was read.
      if (!hasCode(error, 'ERR_SNAPSHOT_NOT_FOUND')) throw error;
    }
  }
  return measured;
}

function row({ size, inodes, kind, owner, key }: Measured): string[] {
  return [humanSize(size), String(inodes), kind, owner, key];
}
