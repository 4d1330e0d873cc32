import type { Command } from 'commander';
import type { RemovedImage } from '@layerstore/store';
import type { Session } from '../session.js';
import { eachName } from './each-name.js';
import { addExamples } from './help-text.js';

interface RemoveImageOptions {
  readonly force?: true;
  readonly quiet?: true;
  readonly json?: true;
}

export function define(command: Command, session: Session): void {
  command
    .description(
      'Remove names of images. An image goes with its last name, and with it the layers that nothing else needs.',
    )
    .argument('<IMAGE...>', 'names or IDs')
    .option('-f, --force', 'by ID: remove an image that has several names')
    .option('-q, --quiet', 'print nothing')
    .option('--json', 'print what was removed as JSON')
    .action(async (images: readonly string[], options: RemoveImageOptions) =>
      session.withStore(command, async (store) => {
        const removed: RemovedImage[] = [];
        try {
          await eachName(session, images, async (image) => {
            const result = await store.images.remove(image, options.force === true ? { force: true } : {});
            removed.push(result);
            if (options.json === true || options.quiet === true) return;
            session.print(
              ...result.untagged.map((name) => `Untagged: ${name}`),
              ...result.deleted.map((id) => `Deleted: ${id}`),
            );
          });
        } finally {
          if (options.json === true) session.printJson(removed);
        }
      }),
    );
  addExamples(command, [
    ['layerstore rmi web:1', 'a name, and the image if it was the last one'],
    ['layerstore rmi -f 3fa2c1d09b7e', 'an image with all its names'],
  ]);
}
