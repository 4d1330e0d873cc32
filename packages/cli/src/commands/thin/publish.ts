import { tmpdir } from 'node:os';
import type { Command } from 'commander';
import type { Session } from '../../session.js';
import { addExamples } from '../help-text.js';
import { addPublisherOptions, newTag, publisherKeys, type PublisherCommandOptions } from './publisher-options.js';

interface PublishOptions extends PublisherCommandOptions {
  readonly platform?: string;
  readonly json?: true;
}

export function define(command: Command, session: Session): void {
  command
    .description(
      'Publish the layers of a docker-archive or OCI layout as one revision of a repository. Layers that it has are passed over. Prints the ' +
        'thin.json of each image.',
    )
    .argument('<ARCHIVE>', 'file or directory')
    .option('--tag <name>', 'name for the revision')
    .option('--platform <os/arch>', 'which image of an index to take (default: this machine)')
    .option('--json', 'print the revision and every thin.json as one JSON value');
  addPublisherOptions(command).action(async (archive: string, options: PublishOptions) => {
    await session.withDisplay(command, {}, async ({ signal }) => {
      const { publishArchive } = await import('@layerstore/store');
      const { revision, images } = await publishArchive(archive, {
        directory: options.directory,
        keys: await publisherKeys(options),
        scratch: tmpdir(),
        signal,
        ...newTag(options),
        ...(options.platform === undefined ? {} : { platform: options.platform }),
      });
      const documents = images.map(({ thin }) => thin);
      if (options.json === true) session.printJson({ revision, images: documents });
      else for (const document of documents) session.printJson(document);
    });
  });
  addExamples(command, [
    [
      'layerstore thin publish --name images.example.org --directory /srv/cvmfs/images.example.org --keys /etc/layerstore/keys debian.tar',
      'all layers of an archive',
    ],
  ]);
}
