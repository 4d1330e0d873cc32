import type { Command } from 'commander';
import type { Session } from '../session.js';
import { addExamples } from './help-text.js';

export function define(command: Command, session: Session): void {
  command
    .description('Give an image a further name. A name that another image had moves to this one.')
    .argument('<IMAGE>', 'name or ID')
    .argument('<REFERENCE>', 'the new name; without a tag, `:latest`')
    .action(async (image: string, reference: string) =>
      session.withStore(command, async (store) => store.images.tag(image, reference)),
    );
  addExamples(command, [
    ['layerstore tag 3fa2c1d09b7e registry.example.org/web:1.2', 'name an image by the beginning of its ID'],
  ]);
}
