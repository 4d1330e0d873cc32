import type { Command } from 'commander';
import type { Session } from '../../session.js';
import { diffText } from '../diff.js';
import { addExamples } from '../help-text.js';
import { addHomeOptions, addParentOptions, comparedWith, withHome, type ParentOptions } from './home-options.js';

interface ChangesOptions extends ParentOptions {
  readonly quiet?: true;
  readonly json?: true;
}

export function define(command: Command, session: Session): void {
  command
    .description(
      'List the paths that a layer added (A), changed (C) and deleted (D), sorted by path, as `layerstore diff` does for ' +
        'containers. The layer need not be mounted.',
    )
    .argument('<ID>', 'a layer of the home');
  addParentOptions(addHomeOptions(command))
    .option('-q, --quiet', 'print only the paths')
    .option('--json', 'print the records as JSON; names that are not UTF-8 have their bytes in `pathBytes` (base64)')
    .action(async (id: string, options: ChangesOptions) =>
      withHome(command, session, async (home, operation) => {
        const changes = await home.changes(id, { ...operation, ...comparedWith(options) });
        if (options.json === true) session.printJson(changes);
        else session.write(diffText(changes, { kinds: options.quiet !== true, terminal: process.stdout.isTTY }));
      }),
    );
  addExamples(command, [
    ['layerstore layer changes --home /var/lib/docker/overlay2 --read-only ID', 'what a container changed'],
    ['layerstore layer changes --home ./home --parent A B', 'how layer B differs from layer A, whatever lies between'],
  ]);
}
