import type { Command } from 'commander';
import type { Session } from '../session.js';
import { archiveTarget } from './archive-target.js';
import { addExamples } from './help-text.js';

export function define(command: Command, session: Session): void {
  command
    .description("Write a container's whole view as one tar, without layers and history.")
    .argument('<CONTAINER>', 'name or ID')
    .option('-o, --output <file>', 'file to write; - or nothing is stdout')
    .option('-q, --quiet', 'show no progress')
    .action(async (container: string, options: { output?: string; quiet?: true }) => {
      const target = archiveTarget(options.output);
      await session.withStore(
        command,
        async (store, operation) => {
          await store.containers.export(container, target, operation);
        },
        { progress: options.quiet !== true },
      );
    });
  addExamples(command, [
    ['layerstore export build -o build.tar', 'a root file system for another tool'],
    ['layerstore export build | tar -tv | less', 'look at all its files'],
    ['layerstore export build | layerstore import - flat:1', 'an image with a single layer'],
  ]);
}
