import type { Command } from 'commander';
import { humanSize } from '../../output/sizes.js';
import type { Session } from '../../session.js';
import { addExamples } from '../help-text.js';
import { addHomeOptions, addParentOptions, comparedWith, withHome, type ParentOptions } from './home-options.js';

interface SizeOptions extends ParentOptions {
  readonly human?: true;
  readonly json?: true;
}

export function define(command: Command, session: Session): void {
  command
    .description(
      'Print how many bytes of file content a layer adds: lengths of files, hard links once. What it deletes does not count.',
    )
    .argument('<ID>', 'a layer of the home');
  addParentOptions(addHomeOptions(command))
    .option('-H, --human', 'print kB, MB or GB, as `docker history` does')
    .option('--json', 'print { "id": ..., "size": bytes }')
    .action(async (id: string, options: SizeOptions) =>
      withHome(command, session, async (home, operation) => {
        const size = await home.size(id, { ...operation, ...comparedWith(options) });
        if (options.json === true) session.printJson({ id, size });
        else session.print(options.human === true ? humanSize(size) : String(size));
      }),
    );
  addExamples(command, [
    ['layerstore layer size --home ./home ID', 'bytes, for a script'],
    ['layerstore layer size --home ./home --no-parent -H ID', 'everything that the view shows'],
  ]);
}
