import { Option, type Command } from 'commander';
import type { SaveFormat, SaveOptions } from '@layerstore/store';
import { usageError } from '../failures.js';
import type { Session } from '../session.js';
import { archiveTarget } from './archive-target.js';
import { addExamples } from './help-text.js';

interface SaveCommandOptions {
  readonly output?: string;
  readonly format: SaveFormat;
  readonly compression?: NonNullable<SaveOptions['compression']>;
  readonly quiet?: true;
}

export function define(command: Command, session: Session): void {
  command
    .description(
      'Write images as an archive that docker, podman, skopeo and the others load. Every layer is reproduced bit for bit and ' +
        'verified while it is written; a file appears complete or not at all.',
    )
    .argument('<IMAGE...>', 'names or IDs; several images share their layers in the archive')
    .option('-o, --output <file>', 'file or directory to write; - or nothing is stdout')
    .addOption(
      new Option('--format <format>', 'kind of archive')
        .choices(['docker-archive', 'oci-archive', 'oci-dir'])
        .default('docker-archive'),
    )
    .addOption(new Option('--compression <kind>', 'compression of the layers').choices(['none', 'gzip', 'zstd']))
    .option('-q, --quiet', 'show no progress')
    .action(async (images: readonly string[], options: SaveCommandOptions) => {
      if (options.format === 'oci-dir' && (options.output === undefined || options.output === '-')) {
        throw usageError('--format oci-dir writes a directory', 'name it with -o');
      }
      const target = archiveTarget(options.output);
      await session.withStore(
        command,
        async (store, operation) => {
          await store.images.save(images, target, {
            ...operation,
            format: options.format,
            ...(options.compression === undefined ? {} : { compression: options.compression }),
          });
        },
        { progress: options.quiet !== true },
      );
    });
  addExamples(command, [
    ['layerstore save debian:12 -o debian.tar', 'for `docker load` and `podman load`'],
    ['layerstore save web:1 --format oci-archive --compression zstd -o web.oci.tar', 'an OCI archive with zstd layers'],
    ['layerstore save debian:12 | ssh host docker load', 'straight into another machine'],
  ]);
}
