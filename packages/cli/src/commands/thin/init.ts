import type { Command } from 'commander';
import type { Session } from '../../session.js';
import { addExamples } from '../help-text.js';
import { addPublisherOptions, type PublisherCommandOptions } from './publisher-options.js';

export function define(command: Command, session: Session): void {
  command.description(
    'Make a CernVM-FS repository in a directory that any web server may give to clients: keys and certificate, a whitelist for 30 days, and a ' +
      'first revision that is empty. Prints the public key that clients need.',
  );
  addPublisherOptions(command).action(async (options: PublisherCommandOptions) => {
    await session.withDisplay(command, {}, async () => {
      const { initRepository } = await import('@layerstore/cvmfs');
      const keys = await initRepository(options);
      session.print(keys.publicMasterKey.trimEnd());
    });
  });
  addExamples(command, [
    [
      'layerstore thin init --name images.example.org --directory /srv/cvmfs/images.example.org --keys /etc/layerstore/keys',
      'keys are 0600 and belong into a backup',
    ],
  ]);
}
