import type { Command } from 'commander';
import { shortId } from '@layerstore/core';
import type { ImageSummary } from '@layerstore/store';
import { humanSize } from '../output/sizes.js';
import { tableLines } from '../output/table.js';
import { humanAge } from '../output/times.js';
import type { Session } from '../session.js';
import { addExamples } from './help-text.js';

interface ImagesCommandOptions {
  readonly quiet?: true;
  readonly trunc: boolean;
  readonly json?: true;
}

export function define(command: Command, session: Session): void {
  command
    .description('List the images of the store, newest first. An image with several names has a line for each.')
    .option('-q, --quiet', 'print only image IDs')
    .option('--no-trunc', 'print whole IDs')
    .option('--json', 'print the records as JSON')
    .action(async (options: ImagesCommandOptions) =>
      session.withStore(command, async (store) => {
        const images = await store.images.list();
        const show = options.trunc ? shortId : (id: string) => id;
        if (options.json === true) session.printJson(images);
        else if (options.quiet === true) session.print(...images.map(({ id }) => show(id)));
        else session.print(...imageTable(images, show));
      }),
    );
  addExamples(command, [
    ['layerstore images', 'names, IDs, age and size'],
    [`layerstore images --json | jq -r '.[].references[]'`, 'for a program'],
    ['layerstore rmi $(layerstore images -q)', 'IDs for another command'],
  ]);
}

const header = ['REPOSITORY', 'TAG', 'IMAGE ID', 'CREATED', 'SIZE'];

/** The lines that `images` prints; `show` gives the form of an ID. */
export function imageTable(images: readonly ImageSummary[], show: (id: string) => string): string[] {
  return tableLines(
    header,
    images.flatMap((image) => imageRows(image, show)),
  );
}

function imageRows(image: ImageSummary, show: (id: string) => string): string[][] {
  const names = image.references.length === 0 ? [['<none>', '<none>']] : image.references.map(splitName);
  const size = image.damaged === undefined ? humanSize(image.size) : `damaged: ${image.damaged}`;
  return names.map((name) => [...name, show(image.id), humanAge(image.createdAt), size]);
}

/** `quay.io/a/b:1` -> repository and tag; a name by digest has no tag. */
function splitName(reference: string): [string, string] {
  const at = reference.indexOf('@');
  const named = at < 0 ? reference : reference.slice(0, at);
  const colon = named.indexOf(':', named.lastIndexOf('/') + 1);
  return colon < 0 ? [named, '<none>'] : [named.slice(0, colon), named.slice(colon + 1)];
}
