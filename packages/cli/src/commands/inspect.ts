import { Option, type Command } from 'commander';
import { hasCode, StoreError } from '@layerstore/core';
import type { ContainerDetails, ImageDetails, LayerStore } from '@layerstore/store';
import { addRegistryOptions, type RegistryCommandOptions } from './registry-flags.js';
import type { Session } from '../session.js';
import { eachName } from './each-name.js';
import { addExamples } from './help-text.js';

type Kind = 'image' | 'container';

interface InspectCommandOptions extends RegistryCommandOptions {
  readonly type?: Kind;
  readonly remote?: true;
  readonly platform?: string;
}

export function define(command: Command, session: Session): void {
  command
    .description(
      'Print all that the store knows of images and containers, as a JSON array. A name that both a container and an image ' +
        'have means the container.',
    )
    .argument('<NAME...>', 'names or IDs, also the beginning of an ID')
    .addOption(new Option('--type <kind>', 'look only for one kind').choices(['image', 'container']))
    .option('--remote', 'ask registries instead of the store: images, indexes, artifacts and what refers to them')
    .option('--platform <os/arch>', 'with --remote: which image of an index to describe (default: this machine)')
    .option('--json', 'print JSON, which this command always does');
  addRegistryOptions(command);
  command.action(async (names: readonly string[], options: InspectCommandOptions) => {
    if (options.remote === true) {
      await inspectInRegistries(session, names, options);
      return;
    }
    await session.withStore(command, async (store) =>
      printEach(session, names, (name) => inspect(store, name, options.type)),
    );
  });
  addExamples(command, [
    ['layerstore inspect debian:12', 'an image: config, layers, digests'],
    ['layerstore inspect --remote debian:12', 'what a registry has: platforms, layers, signatures'],
    [`layerstore inspect web | jq -r '.[0].graphDriver.data.UpperDir'`, 'where a container keeps its changes'],
  ]);
}

async function inspectInRegistries(
  session: Session,
  names: readonly string[],
  options: InspectCommandOptions,
): Promise<void> {
  const { registryOptions } = await import('../registry/registry-options.js');
  const { inspectRemote } = await import('@layerstore/store');
  const registry = await registryOptions(options, process.env);
  const platform = options.platform === undefined ? {} : { platform: options.platform };
  await printEach(session, names, (name) => inspectRemote(name, { signal: session.signal, registry, ...platform }));
}

/** All that can be found is printed, in one list. */
async function printEach(
  session: Session,
  names: readonly string[],
  read: (name: string) => Promise<unknown>,
): Promise<void> {
  const records: unknown[] = [];
  try {
    await eachName(session, names, async (name) => void records.push(await read(name)));
  } finally {
    session.printJson(records);
  }
}

async function inspect(
  store: LayerStore,
  name: string,
  kind: Kind | undefined,
): Promise<ImageDetails | ContainerDetails> {
  if (kind === 'image') return store.images.inspect(name);
  try {
    return await store.containers.inspect(name);
  } catch (error) {
    if (kind === 'container' || !hasCode(error, 'ERR_CONTAINER_NOT_FOUND')) throw error;
  }
  try {
    return await store.images.inspect(name);
  } catch (error) {
    if (!hasCode(error, 'ERR_IMAGE_NOT_FOUND')) throw error;
    throw new StoreError('ERR_NOT_FOUND', 'no image or container has this name or ID', {
      subject: name,
      hint: '`layerstore images` and `layerstore ps` list what there is',
      cause: error,
    });
  }
}
