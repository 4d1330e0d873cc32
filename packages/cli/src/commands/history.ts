import type { Command } from 'commander';
import { shortId } from '@layerstore/core';
import type { HistoryEntry } from '@layerstore/store';
import { humanSize } from '../output/sizes.js';
import { tableLines, truncate } from '../output/table.js';
import { humanAge } from '../output/times.js';
import type { Session } from '../session.js';
import { addExamples } from './help-text.js';

interface HistoryCommandOptions {
  readonly quiet?: true;
  readonly trunc: boolean;
  readonly json?: true;
}

const createdByWidth = 45;

export function define(command: Command, session: Session): void {
  command
    .description('Show the steps that made an image, newest first, with the layer that each of them added.')
    .argument('<IMAGE>', 'name or ID')
    .option('-q, --quiet', 'print only the diff IDs of the layers')
    .option('--no-trunc', 'print whole diff IDs and commands')
    .option('--json', 'print the records as JSON')
    .action(async (image: string, options: HistoryCommandOptions) =>
      session.withStore(command, async (store) => {
        const entries = await store.images.history(image);
        const show = options.trunc ? shortId : (id: string) => id;
        if (options.json === true) session.printJson(entries);
        else if (options.quiet === true)
          session.print(...entries.flatMap(({ diffId }) => (diffId === undefined ? [] : [show(diffId)])));
        else
          session.print(
            ...tableLines(
              header,
              entries.map((entry) => row(entry, options.trunc, show)),
            ),
          );
      }),
    );
  addExamples(command, [
    ['layerstore history debian:12', 'one line for each step'],
    ['layerstore history --no-trunc --json web:1', 'whole commands, for a program'],
  ]);
}

const header = ['LAYER', 'CREATED', 'CREATED BY', 'SIZE', 'COMMENT'];

function row(entry: HistoryEntry, trunc: boolean, show: (id: string) => string): string[] {
  const createdBy = entry.createdBy ?? '';
  return [
    entry.diffId === undefined ? '<none>' : show(entry.diffId),
    humanAge(entry.createdAt),
    trunc ? truncate(createdBy, createdByWidth) : createdBy,
    humanSize(entry.size),
    entry.comment ?? '',
  ];
}
