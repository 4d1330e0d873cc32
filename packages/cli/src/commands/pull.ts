import type { Command } from 'commander';
import type { PulledImage } from '@layerstore/store';
import { addRegistryOptions, type RegistryCommandOptions } from './registry-flags.js';
import type { Session } from '../session.js';
import { eachName } from './each-name.js';
import { addExamples } from './help-text.js';

interface PullCommandOptions extends RegistryCommandOptions {
  readonly platform?: string;
  readonly keepBlobs?: true;
  readonly json?: true;
  readonly quiet?: true;
}

export function define(command: Command, session: Session): void {
  command
    .description(
      'Pull images from registries. Layers come in parallel and are unpacked while they come; those that the store has are not fetched. ' +
        'A pull that was killed goes on where it was.',
    )
    .argument('<REFERENCE...>', 'names as docker and podman take them: debian:12, quay.io/org/app, debian@sha256:...')
    .option('--platform <os/arch>', 'which image of an index to take, for example linux/arm64 (default: this machine)')
    .option(
      '--keep-blobs',
      'keep the compressed layers too, so that `save` and `push` can repeat the original manifest',
    )
    .option('-q, --quiet', 'print only image IDs, show no progress')
    .option('--json', 'print the pulled images as JSON');
  addRegistryOptions(command);
  command.action(async (references: readonly string[], options: PullCommandOptions) => {
    const { registryOptions } = await import('../registry/registry-options.js');
    const registry = await registryOptions(options, process.env);
    await session.withStore(
      command,
      async (store, operation) => {
        const pulled: PulledImage[] = [];
        try {
          await eachName(session, references, async (reference) => {
            const image = await store.images.pull(reference, {
              ...operation,
              registry,
              ...(options.platform === undefined ? {} : { platform: options.platform }),
              ...(options.keepBlobs === undefined ? {} : { keepBlobs: true }),
            });
            pulled.push(image);
            if (options.json === true) return;
            if (options.quiet === true) session.print(image.id);
            else session.print(`Pulled image: ${image.references.join(', ')}`, `Digest: ${image.digest}`);
          });
        } finally {
          if (options.json === true) session.printJson(pulled);
        }
      },
      { create: true, progress: options.quiet !== true },
    );
  });
  addExamples(command, [
    ['layerstore pull debian:12', 'from Docker Hub'],
    ['layerstore pull --platform linux/arm64 quay.io/org/app:1', 'the image of another machine'],
    ['layerstore pull --insecure-registry 10.0.0.5:5000 10.0.0.5:5000/app', 'a registry without TLS'],
  ]);
}
