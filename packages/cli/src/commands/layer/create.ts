import type { Command } from 'commander';
import type { Session } from '../../session.js';
import { addExamples } from '../help-text.js';
import { addHomeOptions, withHome } from './home-options.js';

export function define(command: Command, session: Session): void {
  command
    .description(
      'Make an empty, writable layer and print its id. A home that is missing, or an empty directory, becomes one of --driver. The same ' +
        'again succeeds as long as the layer is empty.',
    )
    .argument('<NEW_ID>', 'name of the new layer');
  addHomeOptions(command)
    .option('--parent <id>', 'layer that it lies on; that one is never written again')
    .option('--json', 'print { "id": ..., "parent": ... }')
    .action(async (id: string, options: { parent?: string; json?: true }) => {
      const parent = options.parent === undefined ? {} : { parent: options.parent };
      await withHome(
        command,
        session,
        async (home) => {
          await home.create(id, parent);
          if (options.json === true) session.printJson({ id, ...parent });
          else session.print(id);
        },
        { create: true },
      );
    });
  addExamples(command, [
    ['layerstore layer create --driver overlay2 --home ./home base', 'the first layer of a new home'],
    ['layerstore layer create --home ./home --parent base box', 'a layer over it'],
  ]);
}
