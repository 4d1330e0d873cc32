import type { Command } from 'commander';
import type { Session } from '../session.js';
import { eachName } from './each-name.js';
import { addExamples } from './help-text.js';

export function define(command: Command, session: Session): void {
  command
    .description(
      'Give up a mount of each container; the last one unmounts. A container that is not mounted is no error; one in which a ' +
        'program works is, and the program is named.',
    )
    .argument('<CONTAINER...>', 'names or IDs')
    .option('-f, --force', 'give up every mount of the container, also those that other processes asked for')
    .action(async (containers: readonly string[], options: { force?: true }) =>
      session.withStore(command, async (store) =>
        eachName(session, containers, async (container) => {
          await store.containers.unmount(container, options.force === true ? { all: true } : {});
          session.print(container);
        }),
      ),
    );
  addExamples(command, [['layerstore unmount build', 'the counterpart of `layerstore mount build`']]);
}
