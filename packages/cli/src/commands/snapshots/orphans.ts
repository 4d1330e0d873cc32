import type { Command } from 'commander';
import { usageError } from '../../failures.js';
import type { Session } from '../../session.js';
import { addExamples } from '../help-text.js';
import { snapshotTable } from './ls.js';

interface OrphansOptions {
  readonly olderThan: string;
  readonly json?: true;
}

export function define(command: Command, session: Session): void {
  command
    .description(
      'List active snapshots and views that no process of this machine has mounted and nobody has changed for a while. The engine may still want ' +
        'them, for a stopped container for example; what it does not want is removed through it: ctr snapshots rm KEY.',
    )
    .option('--older-than <age>', 'leave out younger ones: a number and s, m, h or d', '1d')
    .option('--json', 'print the records as JSON')
    .action(async (options: OrphansOptions) =>
      session.withStore(command, async (store) => {
        const orphans = await store.snapshots.orphans({ olderThanMs: parseAge(options.olderThan) });
        if (options.json === true) session.printJson(orphans);
        else session.print(...snapshotTable(orphans));
      }),
    );
  addExamples(command, [['layerstore snapshots orphans --older-than 7d', 'what has been forgotten for a week']]);
}

const milliseconds: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

function parseAge(text: string): number {
  const [, number, unit = ''] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  const scale = milliseconds[unit];
  if (number === undefined || scale === undefined) {
    throw usageError(`--older-than ${text}: not an age`, 'give a number and s, m, h or d, for example 12h');
  }
  return Number(number) * scale;
}
