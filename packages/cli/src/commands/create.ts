import type { Command } from 'commander';
import { collect, parsePairs } from '../global-options.js';
import type { Session } from '../session.js';
import { addExamples } from './help-text.js';

interface CreateCommandOptions {
  readonly name?: string;
  readonly storageOpt?: readonly string[];
  readonly json?: true;
}

export function define(command: Command, session: Session): void {
  command
    .description(
      'Make a container: an empty writable layer over an image. Nothing is mounted or started. Prints its ID.',
    )
    .argument('<IMAGE>', 'name or ID')
    .option('--name <name>', 'name of the container (default: made from the name of the image)')
    .option(
      '--storage-opt <key=value>',
      'option of the driver for this container, for example size=10G; may be repeated',
      collect,
    )
    .option('--json', 'print the container as JSON')
    .action(async (image: string, options: CreateCommandOptions) =>
      session.withStore(command, async (store) => {
        const container = await store.containers.create(image, {
          ...(options.name === undefined ? {} : { name: options.name }),
          ...(options.storageOpt === undefined
            ? {}
            : { storageOptions: parsePairs('--storage-opt', options.storageOpt) }),
        });
        if (options.json === true) session.printJson(container);
        else session.print(container.id);
      }),
    );
  addExamples(command, [
    ['layerstore create debian:12 --name build', 'a container to mount, change and commit'],
    ['cd "$(layerstore mount "$(layerstore create debian:12)")"', 'make one and step into its view'],
  ]);
}
