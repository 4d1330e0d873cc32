import type { Command } from 'commander';
import type { Session } from '../session.js';
import { addExamples } from './help-text.js';

export function define(command: Command, session: Session): void {
  command
    .description(
      "Mount a container's copy-on-write view and print its path. It stays mounted until `layerstore unmount`; " +
        'each `mount` wants its own `unmount`.',
    )
    .argument('<CONTAINER>', 'name or ID')
    .option('--json', 'print { "path": ... }')
    .action(async (container: string, options: { json?: true }) =>
      session.withStore(command, async (store) => {
        const { path } = await store.containers.mount(container, { lifetime: 'persistent' });
        if (options.json === true) session.printJson({ path });
        else session.print(path);
      }),
    );
  addExamples(command, [
    ['view=$(layerstore mount build)', 'keep the path'],
    ['cp app.conf "$(layerstore mount build)/etc/" && layerstore unmount build', 'change a file of a container'],
  ]);
}
