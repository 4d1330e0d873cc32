import type { Command } from 'commander';
import { collect } from '../global-options.js';
import type { Session } from '../session.js';
import { addExamples } from './help-text.js';

interface CommitCommandOptions {
  readonly message?: string;
  readonly author?: string;
  readonly change?: readonly string[];
  readonly created?: string;
  readonly json?: true;
  readonly quiet?: true;
}

export function define(command: Command, session: Session): void {
  command
    .description(
      "Make an image of a container: its image's layers and one more with what the container changed. Prints the image ID. " +
        'The container stays as it is; stop programs that write into it first.',
    )
    .argument('<CONTAINER>', 'name or ID')
    .argument('[REFERENCE]', 'name of the new image')
    .option('-m, --message <text>', 'comment for the history')
    .option('-a, --author <name>', 'author for the history')
    .option(
      '-c, --change <instruction>',
      'Dockerfile instruction for the config, for example \'CMD ["sh"]\'; may be repeated',
      collect,
    )
    .option('--created <time>', 'date of the image, RFC 3339 (default: now); a fixed one makes the image ID repeatable')
    .option('-q, --quiet', 'show no progress')
    .option('--json', 'print the image as JSON')
    .action(async (container: string, reference: string | undefined, options: CommitCommandOptions) =>
      session.withStore(
        command,
        async (store, operation) => {
          const image = await store.containers.commit(container, reference, {
            ...operation,
            ...(options.message === undefined ? {} : { message: options.message }),
            ...(options.author === undefined ? {} : { author: options.author }),
            ...(options.change === undefined ? {} : { changes: options.change }),
            ...(options.created === undefined ? {} : { created: options.created }),
          });
          if (options.json === true) session.printJson(image);
          else session.print(image.id);
        },
        { progress: options.quiet !== true },
      ),
    );
  addExamples(command, [
    ['layerstore commit build web:1', 'changes become a layer'],
    [
      `layerstore commit build web:1 -m 'add nginx' -c 'CMD ["nginx", "-g", "daemon off;"]'`,
      'with a comment and a default command',
    ],
  ]);
}
