import type { Command } from 'commander';
import type { HomeLayerDetails } from '@layerstore/store';
import type { Session } from '../../session.js';
import { eachName } from '../each-name.js';
import { addExamples } from '../help-text.js';
import { addHomeOptions, withHome } from './home-options.js';

export function define(command: Command, session: Session): void {
  command
    .description(
      'Print what a home tells of layers, as a JSON array: all layers under each, where it is mounted, and the paths that ' +
        '`docker inspect` shows as GraphDriver.',
    )
    .argument('<ID...>', 'layers of the home');
  addHomeOptions(command)
    .option('--json', 'print JSON, which this command always does')
    .action(async (ids: readonly string[]) =>
      withHome(command, session, async (home) => {
        const records: HomeLayerDetails[] = [];
        try {
          await eachName(session, ids, async (id) => void records.push(await home.inspect(id)));
        } finally {
          session.printJson(records);
        }
      }),
    );
  addExamples(command, [
    [
      "layerstore layer inspect --home ./home ID | jq -r '.[0].graphDriver.data.UpperDir'",
      'where a layer keeps its changes',
    ],
  ]);
}
