import type { Command } from 'commander';
import type { Session } from '../../session.js';
import { addExamples } from '../help-text.js';
import { addHomeOptions, withHome } from './home-options.js';

export function define(command: Command, session: Session): void {
  command
    .description(
      "Mount a layer's view, with all layers under it, and print its path. It stays mounted until `layerstore layer unmount`. What is " +
        'written into the view changes the layer; one that others lie on, or a home that is read-only, takes no writes.',
    )
    .argument('<ID>', 'a layer of the home');
  addHomeOptions(command)
    .option('--json', 'print { "path": ... }')
    .action(async (id: string, options: { json?: true }) =>
      withHome(command, session, async (home) => {
        const path = await home.mount(id);
        if (options.json === true) session.printJson({ path });
        else session.print(path);
      }),
    );
  addExamples(command, [
    ['ls "$(layerstore layer mount --home /var/lib/docker/overlay2 --read-only ID)"', 'look into a layer of a dockerd'],
    ['layerstore layer unmount --home /var/lib/docker/overlay2 --read-only ID', 'and take the view away again'],
  ]);
}
