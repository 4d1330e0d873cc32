import type { Command } from 'commander';
import type { DiskUsage, UsageRow } from '@layerstore/store';
import { humanSize } from '../output/sizes.js';
import { tableLines } from '../output/table.js';
import type { Session } from '../session.js';
import { addExamples } from './help-text.js';

const header = ['TYPE', 'TOTAL', 'ACTIVE', 'SIZE', 'RECLAIMABLE'];

/** Rows in the order of printing. */
const kinds: readonly (readonly [keyof DiskUsage, string])[] = [
  ['images', 'Images'],
  ['layers', 'Layers'],
  ['containers', 'Containers'],
  ['workspaces', 'Workspaces'],
  ['snapshots', 'Snapshots'],
  ['blobs', 'Blobs'],
  ['staging', 'Leftovers'],
];

export function define(command: Command, session: Session): void {
  command
    .description('Show what takes space in the store and how much of it `layerstore prune --all` would give back.')
    .option('--json', 'print the record as JSON; sizes in bytes')
    .action(async (options: { json?: true }) =>
      session.withStore(command, async (store, operation) => {
        const usage = await store.diskUsage(operation);
        if (options.json === true) session.printJson(usage);
        else
          session.print(
            ...tableLines(
              header,
              kinds.map(([key, name]) => [name, ...cells(usage[key])]),
            ),
          );
      }),
    );
  addExamples(command, [['layerstore df', 'as `docker system df`']]);
}

function cells({ count, active, size, reclaimable }: UsageRow): string[] {
  const percent = size === 0 ? '' : ` (${Math.round((100 * reclaimable) / size)}%)`;
  return [String(count), String(active), humanSize(size), `${humanSize(reclaimable)}${percent}`];
}
