import type { Command } from 'commander';
import type { Session } from '../session.js';
import { eachName } from './each-name.js';
import { addExamples } from './help-text.js';

export function define(command: Command, session: Session): void {
  command
    .description('Remove containers and what they changed. A mounted container is left alone, unless it is forced.')
    .argument('<CONTAINER...>', 'names or IDs')
    .option('-f, --force', 'unmount first')
    .action(async (containers: readonly string[], options: { force?: true }) =>
      session.withStore(command, async (store) =>
        eachName(session, containers, async (container) => {
          await store.containers.remove(container, options.force === true ? { force: true } : {});
          session.print(container);
        }),
      ),
    );
  addExamples(command, [['layerstore rm -f build', 'a container that may be mounted']]);
}
