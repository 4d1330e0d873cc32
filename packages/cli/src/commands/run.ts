import type { Command } from 'commander';
import { hasCode } from '@layerstore/core';
import type { LayerStore } from '@layerstore/store';
import { usageError } from '../failures.js';
import { collect, parsePairs } from '../global-options.js';
import type { Session } from '../session.js';
import { addExamples } from './help-text.js';

interface RunCommandOptions {
  readonly env?: readonly string[];
  readonly workdir?: string;
  readonly name?: string;
  readonly keep?: true;
}

export function define(command: Command, session: Session): void {
  command
    .description(
      'Run a program with the view of a container as its root: its own mounts, /proc, /sys and /dev, everything else is the ' +
        "host's. A convenience, not a security boundary. For an image, a container is made and removed again, unless --name or " +
        "--keep is given. Without a command, the image's own is run. Exits with the program's code; 126 when it cannot be run, " +
        '127 when it is not there.',
    )
    .usage('[options] CONTAINER|IMAGE [--] [COMMAND [ARGUMENT...]]')
    .argument('<NAME>', 'container or image; a name that both have means the container')
    .argument('[COMMAND...]', 'the program and its arguments')
    .option('-e, --env <key=value>', 'variable for the program; may be repeated', collect)
    .option('-w, --workdir <dir>', "working directory in the view (default: the image's)")
    .option('--name <name>', 'make a container of this name from the image, and keep it')
    .option('--keep', 'keep the container that was made from the image')
    .passThroughOptions()
    .action(async (name: string, words: readonly string[], options: RunCommandOptions) => {
      const [first, ...rest] = words;
      const program = first === '--' ? rest : words;
      // An interactive program handles Ctrl-C itself, as it would in any shell.
      if (process.stdin.isTTY) session.interruption.leaveCtrlCToProgram();
      session.exitCode = await session.withStore(command, async (store) => {
        await using container = await containerFor(store, name, options);
        const { exitCode } = await store.containers.run(container.id, program, {
          stdio: 'inherit',
          signal: session.signal,
          ...(options.env === undefined ? {} : { environment: parsePairs('--env', options.env) }),
          ...(options.workdir === undefined ? {} : { workingDirectory: options.workdir }),
        });
        return exitCode;
      });
    });
  addExamples(command, [
    ['layerstore run debian:12 -- cat /etc/os-release', 'in a throw-away container'],
    ['layerstore run --name build debian:12 -- apt-get update', 'keep what it changed, for `diff` and `commit`'],
    ['layerstore run -e LANG=C build -- sh', 'a shell in a container that exists'],
  ]);
}

/** The container of this name, or one made from the image of this name that goes when it is disposed. */
async function containerFor(
  store: LayerStore,
  name: string,
  options: RunCommandOptions,
): Promise<{ readonly id: string } & AsyncDisposable> {
  try {
    const { id } = await store.containers.inspect(name);
    if (options.name !== undefined || options.keep === true) {
      throw usageError(
        `${name} is a container: --name and --keep are for images`,
        'leave them out, the container is kept anyway',
      );
    }
    return { id, [Symbol.asyncDispose]: () => Promise.resolve() };
  } catch (error) {
    if (!hasCode(error, 'ERR_CONTAINER_NOT_FOUND')) throw error;
  }
  const { id } = await store.containers.create(name, options.name === undefined ? {} : { name: options.name });
  const kept = options.name !== undefined || options.keep === true;
  return { id, [Symbol.asyncDispose]: async () => (kept ? undefined : store.containers.remove(id, { force: true })) };
}
