import { tmpdir } from 'node:os';
import type { Command } from 'commander';
import type { Session } from '../../session.js';
import { addExamples } from '../help-text.js';
import { addPublisherOptions, newTag, publisherKeys, type PublisherCommandOptions } from './publisher-options.js';

interface MakeOptions extends PublisherCommandOptions {
  readonly json?: true;
}

export function define(command: Command, session: Session): void {
  command
    .description(
      'Publish the layers of an image and make a thin image of them: the same settings, and one small layer that names the files in the ' +
        'repository. Prints its ID.',
    )
    .argument('<IMAGE>', 'name or ID of an image of the store')
    .argument('<REFERENCE>', 'name of the thin image')
    .option('--tag <name>', 'name for the revision')
    .option('--json', 'print image, revision and thin.json as JSON');
  addPublisherOptions(command).action(async (image: string, reference: string, options: MakeOptions) => {
    await session.withStore(command, async (store, operation) => {
      const { makeThinImage } = await import('@layerstore/store');
      const made = await makeThinImage(store, image, reference, {
        ...operation,
        directory: options.directory,
        keys: await publisherKeys(options),
        scratch: tmpdir(),
        ...newTag(options),
      });
      if (options.json === true) session.printJson(made);
      else session.print(made.image.id);
    });
  });
  addExamples(command, [
    [
      'layerstore thin make --name images.example.org --directory /srv/cvmfs/images.example.org --keys /etc/layerstore/keys debian:12 thin/debian:12',
      'then `layerstore push thin/debian:12`',
    ],
  ]);
}
