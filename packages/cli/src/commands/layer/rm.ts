import type { Command } from 'commander';
import type { Session } from '../../session.js';
import { eachName } from '../each-name.js';
import { addExamples } from '../help-text.js';
import { addHomeOptions, withHome } from './home-options.js';

interface RemoveLayersOptions {
  readonly force?: true;
  readonly quiet?: true;
}

export function define(command: Command, session: Session): void {
  command
    .description(
      'Remove layers and what is in them, upper ones first. A layer that another lies on, or that is mounted, is left alone.',
    )
    .argument('<ID...>', 'layers of the home');
  addHomeOptions(command)
    .option('-f, --force', 'unmount first')
    .option('-q, --quiet', 'print nothing')
    .action(async (ids: readonly string[], options: RemoveLayersOptions) =>
      withHome(command, session, async (home) =>
        eachName(session, await home.uppermostFirst(ids), async (id) => {
          await home.remove(id, options.force === true ? { force: true } : {});
          if (options.quiet !== true) session.print(id);
        }),
      ),
    );
  addExamples(command, [
    ['layerstore layer rm --home ./home box', 'one layer'],
    ['layerstore layer rm --home ./home $(layerstore layer ls -q --home ./home)', 'all of them'],
  ]);
}
