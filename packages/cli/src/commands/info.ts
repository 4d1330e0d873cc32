import type { Command } from 'commander';
import { printable } from '../output/printable.js';
import type { Session } from '../session.js';
import { addExamples } from './help-text.js';

export function define(command: Command, session: Session): void {
  command
    .description(
      'Show facts about the store: version, root, driver and its status, database, and how much of what it holds.',
    )
    .option('--json', 'print the record as JSON')
    .action(async (options: { json?: true }) =>
      session.withStore(command, async (store) => {
        const info = await store.info();
        if (options.json === true) {
          session.printJson(info);
          return;
        }
        const status = info.driverStatus.map(([key, value]) => ` ${key}: ${value}`);
        const lines = [
          `Version: ${info.version}`,
          `Root: ${info.root}`,
          `Driver: ${info.driver}`,
          ...status,
          `Database: ${info.database}`,
          `Images: ${info.images}`,
          `Layers: ${info.layers}`,
          `Containers: ${info.containers}`,
          `Workspaces: ${info.workspaces}`,
          `Snapshots: ${info.snapshots}`,
          `Mounts: ${info.mounts}`,
        ];
        session.print(...lines.map(printable));
      }),
    );
  addExamples(command, [['layerstore info --json', 'to attach to a report']]);
}
