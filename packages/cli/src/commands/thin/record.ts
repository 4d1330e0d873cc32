import type { Command } from 'commander';
import { collect, parsePairs } from '../../global-options.js';
import type { Session } from '../../session.js';
import { addExamples } from '../help-text.js';

interface RecordOptions {
  readonly env?: readonly string[];
  readonly workdir?: string;
}

export function define(command: Command, session: Session): void {
  command
    .description(
      'Run a program in a throw-away container of a thin image, and keep the list of the files that it read from repositories beside the image. ' +
        "Later starts have them fetched ahead. Without a command, the image's own is run. The program's output is shown; the number of files comes " +
        "on stderr. Exits with the program's code.",
    )
    .usage('[options] IMAGE [--] [COMMAND [ARGUMENT...]]')
    .argument('<IMAGE>', 'a thin image')
    .argument('[COMMAND...]', 'the program and its arguments')
    .option('-e, --env <key=value>', 'variable for the program; may be repeated', collect)
    .option('-w, --workdir <dir>', "working directory in the view (default: the image's)")
    .passThroughOptions()
    .action(async (image: string, words: readonly string[], options: RecordOptions) => {
      const [first, ...rest] = words;
      const program = first === '--' ? rest : words;
      session.exitCode = await session.withStore(command, async (store) => {
        const { files, exitCode } = await store.images.recordStart(image, program, {
          stdio: 'inherit',
          signal: session.signal,
          ...(options.env === undefined ? {} : { environment: parsePairs('--env', options.env) }),
          ...(options.workdir === undefined ? {} : { workingDirectory: options.workdir }),
        });
        session.note(`recorded ${files} ${files === 1 ? 'file' : 'files'}`);
        return exitCode;
      });
    });
  addExamples(command, [
    [
      'layerstore --storage-opt thin.enabled=true thin record science:1 -- python3 -c "import numpy"',
      'a start with its imports',
    ],
  ]);
}
