import { Option, type Command } from 'commander';
import { addRegistryOptions, type RegistryCommandOptions } from './registry-flags.js';
import type { Session } from '../session.js';
import { addExamples } from './help-text.js';

interface PushCommandOptions extends RegistryCommandOptions {
  readonly compression?: 'gzip' | 'zstd';
  readonly json?: true;
  readonly quiet?: true;
}

export function define(command: Command, session: Session): void {
  command
    .description(
      'Push an image to a registry. Layers that the repository has are not sent; those of other repositories of the registry are mounted. ' +
        'An image that was pulled keeps its manifest where its layers are there.',
    )
    .argument('<IMAGE>', 'name or ID')
    .argument('[REFERENCE]', 'where to push to (default: the name of the image)')
    .addOption(
      new Option('--compression <kind>', 'compression of layers that are sent anew (default: gzip)').choices([
        'gzip',
        'zstd',
      ]),
    )
    .option('-q, --quiet', 'print only the digest, show no progress')
    .option('--json', 'print what was pushed as JSON');
  addRegistryOptions(command);
  command.action(async (image: string, destination: string | undefined, options: PushCommandOptions) => {
    const { registryOptions } = await import('../registry/registry-options.js');
    const registry = await registryOptions(options, process.env);
    await session.withStore(
      command,
      async (store, operation) => {
        const pushed = await store.images.push(image, destination, {
          ...operation,
          registry,
          ...(options.compression === undefined ? {} : { compression: options.compression }),
        });
        if (options.json === true) session.printJson(pushed);
        else if (options.quiet === true) session.print(pushed.digest);
        else session.print(`Pushed image: ${pushed.reference}`, `Digest: ${pushed.digest}`);
      },
      { progress: options.quiet !== true },
    );
  });
  addExamples(command, [
    ['layerstore push registry.example.org/web:1', 'under its own name'],
    ['layerstore push web:1 registry.example.org/team/web:1', 'under another one'],
    ['layerstore push --compression zstd web:1 localhost:5000/web:1', 'with zstd layers'],
  ]);
}
