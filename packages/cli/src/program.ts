import { Command, CommanderError } from 'commander';
import { StoreError } from '@layerstore/core';
import { catalogue } from './catalogue.js';
import { Finished } from './failures.js';
import { addGlobalOptions } from './global-options.js';
import { writeStdout } from './output/stdout.js';
import type { Session } from './session.js';

const usageExit = 125;

/**
 * Runs the command line. The verb's own module is loaded once commander has found out which verb it is.
 * @throws StoreError what the verb throws, and ERR_INVALID_ARGUMENT for a command line that is not understood
 */
export async function runProgram(args: readonly string[], session: Session): Promise<void> {
  if (args[0] === 'complete') {
    const { completeWords } = await import('./completion/complete-words.js');
    return completeWords(args.slice(1), session);
  }
  const program = buildProgram(session);
  const versionAsked = args[0] === '--version' || args[0] === '-v';
  try {
    if (args.length === 0) program.outputHelp();
    else await program.parseAsync(versionAsked ? ['version'] : [...args], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return;
    throw error.message === '' || error.code === 'commander.help' ? new Finished(usageExit) : usageFailure(error);
  }
}

/** The program with every verb's name and summary; the rest of a verb comes with {@link loadVerb}. */
export function buildProgram(session: Session): Command {
  const program = new Command('layerstore')
    .description('Container layer storage for Linux: images in, copy-on-write views, layers out.')
    .usage('[options] COMMAND ...')
    .enablePositionalOptions()
    .helpCommand(false)
    .option('-v, --version', 'print the version')
    .configureOutput({ writeOut: writeStdout, outputError: () => undefined })
    .configureHelp({ showGlobalOptions: false })
    .exitOverride()
    .addHelpText('after', '\nRun `layerstore COMMAND --help` for what a command does, its options and examples.');
  addGlobalOptions(program);
  for (const entry of catalogue) {
    program
      .command(entry.name)
      .aliases(entry.aliases ?? [])
      .summary(entry.summary)
      .helpGroup(entry.group);
  }
  program
    .command('help')
    .argument('[COMMAND]', 'the command')
    .summary('Show help for a command')
    .helpGroup('Other:')
    .action(async (name?: string) => {
      const command = program.commands.find((candidate) => candidate.name() === name);
      if (name !== undefined && command === undefined) await program.parseAsync([name], { from: 'user' });
      if (command !== undefined) await loadVerb(command, session);
      (command ?? program).outputHelp();
    });
  program.hook('preSubcommand', async (_program, command) => loadVerb(command, session));
  return program;
}

/** Gives a verb its arguments, options, help and action. */
export async function loadVerb(command: Command, session: Session): Promise<void> {
  const entry = catalogue.find(({ name }) => name === command.name());
  if (entry === undefined) return;
  const verb = await entry.load();
  verb.define(command, session);
  addGlobalOptions(command);
}

/** commander's `error: unknown option '--x'\n(Did you mean --y?)` in the form of the project. */
function usageFailure(error: CommanderError): StoreError {
  const [message = '', ...rest] = error.message.replace(/^error: /, '').split('\n');
  const suggestion = /Did you mean (?:one of )?(.*)\?/.exec(rest.join(' '))?.[1];
  const known = error.code === 'commander.unknownCommand' || error.code === 'commander.unknownOption';
  const advice = '`layerstore --help` lists the commands, `layerstore COMMAND --help` the options of one';
  return new StoreError(known ? 'ERR_UNKNOWN_OPTION' : 'ERR_INVALID_ARGUMENT', message, {
    hint: suggestion === undefined ? advice : `did you mean ${suggestion}? ${advice}`,
    cause: error,
  });
}
