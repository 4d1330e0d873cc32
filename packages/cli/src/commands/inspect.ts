import { Option, type Command } from 'commander';
import { hasCode, StoreError } from '@layerstore/core';
import type { ContainerDetails, ImageDetails, LayerStore } from '@layerstore/store';
import type { Session } from '../session.js';
import { eachName } from './each-name.js';
import { addExamples } from './help-text.js';

type Kind = 'image' | 'container';

export function define(command: Command, session: Session): void {
  command
    .description(
      'Print all that the store knows of images and containers, as a JSON array. A name that both a container and an image ' +
        'have means the container.',
    )
    .argument('<NAME...>', 'names or IDs, also the beginning of an ID')
    .addOption(new Option('--type <kind>', 'look only for one kind').choices(['image', 'container']))
    .option('--json', 'print JSON, which this command always does')
    .action(async (names: readonly string[], options: { type?: Kind }) =>
      session.withStore(command, async (store) => {
        const records: (ImageDetails | ContainerDetails)[] = [];
        try {
          await eachName(session, names, async (name) => void records.push(await inspect(store, name, options.type)));
        } finally {
          session.printJson(records);
        }
      }),
    );
  addExamples(command, [
    ['layerstore inspect debian:12', 'an image: config, layers, digests'],
    [`layerstore inspect web | jq -r '.[0].graphDriver.data.UpperDir'`, 'where a container keeps its changes'],
  ]);
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
