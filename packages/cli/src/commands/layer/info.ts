import type { Command } from 'commander';
import { printable } from '../../output/printable.js';
import type { Session } from '../../session.js';
import { addExamples } from '../help-text.js';
import { addHomeOptions, withHome } from './home-options.js';

export function define(command: Command, session: Session): void {
  command.description(
    'Show facts about a home: its driver and the status that the driver tells, and how much it holds.',
  );
  addHomeOptions(command)
    .option('--json', 'print the record as JSON')
    .action(async (options: { json?: true }) =>
      withHome(command, session, async (home) => {
        const info = await home.info();
        if (options.json === true) {
          session.printJson(info);
          return;
        }
        const lines = [
          `Home: ${info.home}`,
          `Access: ${info.access}`,
          `Driver: ${info.driver}`,
          ...info.driverStatus.map(([key, value]) => ` ${key}: ${value}`),
          `State: ${info.state}`,
          `Layers: ${info.layers}`,
          `Mounts: ${info.mounts}`,
        ];
        session.print(...lines.map(printable));
      }),
    );
  addExamples(command, [
    ['layerstore layer info --home /var/lib/docker/overlay2 --read-only', 'which driver, on which file system'],
  ]);
}
