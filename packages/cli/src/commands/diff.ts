import type { Command } from 'commander';
import type { PathChange } from '@layerstore/store';
import { printable, printableBytes } from '../output/printable.js';
import type { Session } from '../session.js';
import { addExamples } from './help-text.js';

export function define(command: Command, session: Session): void {
  command
    .description(
      'List the paths that a container added (A), changed (C) and deleted (D), sorted by path. Names are printed as they are, ' +
        'but a terminal gets control characters and bytes that are not UTF-8 as \\xNN.',
    )
    .argument('<CONTAINER>', 'name or ID')
    .option('-q, --quiet', 'print only the paths')
    .option('--json', 'print the records as JSON; names that are not UTF-8 have their bytes in `pathBytes` (base64)')
    .action(async (container: string, options: { quiet?: true; json?: true }) =>
      session.withStore(command, async (store, operation) => {
        const changes = await store.containers.changes(container, operation);
        if (options.json === true) session.printJson(changes);
        else session.write(diffText(changes, { kinds: options.quiet !== true, terminal: process.stdout.isTTY }));
      }),
    );
  addExamples(command, [
    ['layerstore diff build', 'as docker and podman print it'],
    ['layerstore diff build | grep -c ^A', 'how many paths were added'],
  ]);
}

const letters = { add: 'A', modify: 'C', delete: 'D' } as const;

/** One line for each change: bytes for a program, printable characters for a terminal. */
export function diffText(
  changes: readonly PathChange[],
  options: { readonly kinds: boolean; readonly terminal: boolean },
): Buffer {
  return Buffer.concat(
    changes.flatMap(({ kind, path, pathBytes }) => {
      const bytes = pathBytes === undefined ? Buffer.from(path) : Buffer.from(pathBytes, 'base64');
      const shown = pathBytes === undefined ? printable(path) : printableBytes(bytes);
      const name = options.terminal ? Buffer.from(shown) : bytes;
      return [Buffer.from(options.kinds ? `${letters[kind]} ` : ''), name, Buffer.from('\n')];
    }),
  );
}
