import type { Command } from 'commander';
import { shortId } from '@layerstore/core';
import type { ContainerSummary } from '@layerstore/store';
import { tableLines } from '../output/table.js';
import { humanAge } from '../output/times.js';
import type { Session } from '../session.js';
import { addExamples } from './help-text.js';

interface ListContainersOptions {
  readonly quiet?: true;
  readonly trunc: boolean;
  readonly json?: true;
}

export function define(command: Command, session: Session): void {
  command
    .description('List the containers of the store, newest first, and where they are mounted.')
    .option('-q, --quiet', 'print only container IDs')
    .option('--no-trunc', 'print whole IDs')
    .option('--json', 'print the records as JSON')
    .action(async (options: ListContainersOptions) =>
      session.withStore(command, async (store) => {
        const containers = await store.containers.list();
        const show = options.trunc ? shortId : (id: string) => id;
        if (options.json === true) session.printJson(containers);
        else if (options.quiet === true) session.print(...containers.map(({ id }) => show(id)));
        else
          session.print(
            ...tableLines(
              header,
              containers.map((container) => row(container, show)),
            ),
          );
      }),
    );
  addExamples(command, [
    ['layerstore ps', 'names, images and mounts'],
    ['layerstore rm -f $(layerstore ps -q)', 'IDs for another command'],
  ]);
}

const header = ['CONTAINER ID', 'IMAGE', 'CREATED', 'NAME', 'MOUNTED AT'];

function row(container: ContainerSummary, show: (id: string) => string): string[] {
  const image = container.imageReference === container.image ? show(container.image) : container.imageReference;
  return [show(container.id), image, humanAge(container.createdAt), container.name, container.mountedAt ?? ''];
}
