import type { Command } from 'commander';
import { shortId } from '@layerstore/core';
import { usageError } from '../failures.js';
import type { Session } from '../session.js';
import { archiveSource } from './archive-source.js';
import { addExamples } from './help-text.js';

interface LoadCommandOptions {
  readonly input?: string;
  readonly platform?: string;
  readonly reference?: string;
  readonly keepBlobs?: true;
  readonly json?: true;
  readonly quiet?: true;
}

export function define(command: Command, session: Session): void {
  command
    .description(
      'Load images from a docker-archive or an OCI layout (a directory or a tar of it, also compressed). ' +
        'Every layer is verified, unpacked and written durably; layers that the store has are not unpacked again.',
    )
    .argument('[FILE]', 'the archive or layout directory; - is stdin')
    .option('-i, --input <file>', 'the same, as docker has it')
    .option('--platform <os/arch>', 'which image of an index to take, for example linux/arm64 (default: this machine)')
    .option('--reference <name>', 'take only the image of this name')
    .option('--keep-blobs', 'keep the compressed layers too, so that `save` can repeat the original manifest')
    .option('-q, --quiet', 'print only image IDs, show no progress')
    .option('--json', 'print the loaded images as JSON')
    .action(async (file: string | undefined, options: LoadCommandOptions) => {
      if (file !== undefined && options.input !== undefined)
        throw usageError('FILE and --input name the same thing twice');
      const input = file ?? options.input;
      if (input === undefined) throw usageError('no archive was named', 'give a file, or - for stdin');
      const source = archiveSource(input);
      await session.withStore(
        command,
        async (store, operation) => {
          const images = await store.images.load(source, {
            ...operation,
            ...(options.platform === undefined ? {} : { platform: options.platform }),
            ...(options.reference === undefined ? {} : { reference: options.reference }),
            ...(options.keepBlobs === undefined ? {} : { keepBlobs: true }),
          });
          if (options.json === true) session.printJson(images);
          else if (options.quiet === true) session.print(...images.map(({ id }) => id));
          else
            session.print(
              ...images.map(({ id, references }) => `Loaded image: ${references.join(', ') || shortId(id)}`),
            );
        },
        { create: true, progress: options.quiet !== true },
      );
    });
  addExamples(command, [
    ['layerstore load -i debian.tar', 'what `docker save`, `podman save` or `skopeo copy` wrote'],
    ['skopeo copy docker://debian:12 docker-archive:/dev/stdout:debian:12 | layerstore load -', 'from a pipe'],
    ['layerstore load ./layout --platform linux/arm64', 'one platform of an OCI layout with several'],
  ]);
}
