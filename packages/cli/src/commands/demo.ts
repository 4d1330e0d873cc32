import type { Command } from 'commander';
import { shortId } from '@layerstore/core';
import type { DemoOptions, DemoResult } from '../demo/demo.js';
import { runDemo } from '../demo/demo.js';
import { printable } from '../output/printable.js';
import { humanSize } from '../output/sizes.js';
import { tableLines } from '../output/table.js';
import type { Session } from '../session.js';
import { diffText } from './diff.js';
import { imageTable } from './images.js';
import { addExamples } from './help-text.js';

interface DemoCommandOptions {
  readonly image?: string;
  readonly suite: string;
  readonly keep?: true;
  readonly json?: true;
}

const changesShown = 12;

export function define(command: Command, session: Session): void {
  command
    .description(
      'Show the main job on real input: make a Debian root file system from its packages, pack it as an image of three layers, ' +
        'load it, create and mount a container, run programs in it that change, delete and replace files, list the changes, commit, ' +
        'save as docker-archive and OCI archive, load both into further stores, and compare every digest; then let skopeo or ' +
        'podman read the archives. Needs root, about 2 GB in $TMPDIR, and for the Debian image a network. Your own store is not ' +
        'touched, and nothing stays behind. Exits with 0 only if everything is equal.',
    )
    .option('--image <file>', 'use this archive or OCI layout instead of a Debian image')
    .option('--suite <name>', 'Debian release of the image', 'bookworm')
    .option('--keep', 'leave stores and archives where they were made, and print where')
    .option('--json', 'print the result as JSON')
    .action(async (options: DemoCommandOptions) =>
      session.withDisplay(command, { progress: true }, async (operation, global) => {
        const demo: DemoOptions = {
          suite: options.suite,
          keep: options.keep === true,
          ...(options.image === undefined ? {} : { image: options.image }),
        };
        const result = await runDemo(session, demo, global, operation);
        if (!result.comparisons.every(({ holds }) => holds)) session.exitCode = 1;
        if (options.json === true) session.printJson(result);
        else printResult(session, result);
      }),
    );
  addExamples(command, [
    ['layerstore demo', 'about a minute, most of it spent by mmdebstrap'],
    ['layerstore demo --image debian.tar', 'an image of your own, which `docker save` or `podman save` wrote'],
    ['TMPDIR=/mnt/scratch layerstore demo --keep', 'on another file system, to look around afterwards'],
  ]);
}

function printResult(session: Session, result: DemoResult): void {
  const { committed } = result.image;
  const seconds = result.steps.reduce((sum, step) => sum + step.seconds, 0);
  session.print(
    '',
    ...imageTable(result.images, shortId),
    '',
    ...result.program.map((line) => `  in the container: ${printable(line)}`),
    '',
    `Changes: ${countText(result)}`,
  );
  const shown = result.changes.slice(0, changesShown);
  session.write(diffText(shown, { kinds: true, terminal: true }));
  if (result.changes.length > shown.length) session.print(`... and ${result.changes.length - shown.length} more`);
  session.print(
    '',
    `Committed as ${committed.references.join(', ')}: ${committed.layers.length} layers, ID ${shortId(committed.id)}`,
    '',
    ...tableLines(
      ['STEP', 'SIZE', `SECONDS (${seconds.toFixed(0)})`],
      result.steps.map(({ step, size, seconds }) => [
        step,
        size === undefined ? '' : humanSize(size),
        seconds.toFixed(2),
      ]),
    ),
    '',
    ...tableLines(
      ['COMPARED', 'EQUAL', 'WHAT'],
      result.comparisons.map(({ what, holds, detail }) => [what, holds ? 'yes' : 'NO', detail]),
    ),
    '',
    result.comparisons.every(({ holds }) => holds) ? 'Everything is equal.' : 'Something differs: see the table.',
  );
}

function countText({ changes }: DemoResult): string {
  const count = (kind: string): number => changes.filter((change) => change.kind === kind).length;
  return `${count('add')} added, ${count('modify')} changed, ${count('delete')} deleted`;
}
