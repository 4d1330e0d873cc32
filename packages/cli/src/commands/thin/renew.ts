import type { Command } from 'commander';
import type { Session } from '../../session.js';
import { addExamples } from '../help-text.js';
import { addPublisherOptions, publisherKeys, type PublisherCommandOptions } from './publisher-options.js';

interface RenewOptions extends PublisherCommandOptions {
  readonly days: string;
}

export function define(command: Command, session: Session): void {
  command
    .description(
      'Sign the whitelist of a repository anew, with its master key. Clients refuse a repository whose whitelist has expired. Prints the new date.',
    )
    .option('--days <number>', 'how long it is valid', '30');
  addPublisherOptions(command).action(async (options: RenewOptions) => {
    await session.withDisplay(command, {}, async () => {
      const { renewWhitelist } = await import('@layerstore/cvmfs');
      const expiresAt = renewWhitelist(options.directory, await publisherKeys(options), Number(options.days));
      session.print(expiresAt.toISOString());
    });
  });
  addExamples(command, [
    [
      'layerstore thin renew --name images.example.org --directory /srv/cvmfs/images.example.org --keys /etc/layerstore/keys',
      'from a timer, once a week',
    ],
  ]);
}
