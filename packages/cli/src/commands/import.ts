import type { Command } from 'commander';
import { collect } from '../global-options.js';
import type { Session } from '../session.js';
import { archiveSource } from './archive-source.js';
import { addExamples } from './help-text.js';

interface ImportCommandOptions {
  readonly change?: readonly string[];
  readonly message?: string;
  readonly platform?: string;
  readonly created?: string;
  readonly json?: true;
  readonly quiet?: true;
}

export function define(command: Command, session: Session): void {
  command
    .description('Make an image of one layer from the tar of a root file system: plain, gzip or zstd.')
    .argument('<TAR>', 'the archive; - is stdin')
    .argument('<REFERENCE>', 'name of the new image')
    .option(
      '-c, --change <instruction>',
      'Dockerfile instruction for the config, for example \'CMD ["sh"]\'; may be repeated',
      collect,
    )
    .option('-m, --message <text>', 'comment for the history')
    .option('--platform <os/arch>', 'platform of the image (default: this machine)')
    .option('--created <time>', 'date of the image, RFC 3339 (default: now); a fixed one makes the image ID repeatable')
    .option('-q, --quiet', 'show no progress')
    .option('--json', 'print the image as JSON')
    .action(async (input: string, reference: string, options: ImportCommandOptions) => {
      const source = archiveSource(input);
      await session.withStore(
        command,
        async (store, operation) => {
          const image = await store.images.import(source, reference, {
            ...operation,
            ...(options.change === undefined ? {} : { changes: options.change }),
            ...(options.message === undefined ? {} : { message: options.message }),
            ...(options.platform === undefined ? {} : { platform: options.platform }),
            ...(options.created === undefined ? {} : { created: options.created }),
          });
          if (options.json === true) session.printJson(image);
          else session.print(image.id);
        },
        { create: true, progress: options.quiet !== true },
      );
    });
  addExamples(command, [
    [`layerstore import -c 'CMD ["bash"]' rootfs.tar.zst debian:12`, 'a file, with a default command'],
    ['mmdebstrap --variant=minbase bookworm - | layerstore import - debian:12', 'straight from the tool that makes it'],
  ]);
}
