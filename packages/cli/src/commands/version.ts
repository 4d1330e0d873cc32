import type { Command } from 'commander';
import { version } from '../layer-store.js';
import type { Session } from '../session.js';

export function define(command: Command, session: Session): void {
  command
    .description('Print the version of layerstore.')
    .option('--json', 'print versions of layerstore and node as JSON')
    .action((options: { json?: true }) => {
      if (options.json === true)
        session.printJson({
          layerstore: version,
          node: process.versions.node,
          platform: `${process.platform}/${process.arch}`,
        });
      else session.print(`layerstore ${version}`);
    });
}
