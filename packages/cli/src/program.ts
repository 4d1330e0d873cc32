import { Command, CommanderError } from 'commander';
import { StoreError } from '@layerstore/core';
import { catalogue, type CatalogueEntry, type FamilyVerb, type VerbFamily } from './catalogue.js';
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
    const command = program.command(entry.name).summary(entry.summary).helpGroup(entry.group);
    if ('verbs' in entry) addVerbs(command, entry, session);
    else command.aliases(entry.aliases ?? []);
  }
  program
    .command('help')
    .argument('[COMMAND...]', 'the command')
    .summary('Show help for a command')
    .helpGroup('Other:')
    .action(async (names: readonly string[]) => {
      let command = program;
      for (const name of names) {
        const verb = command.commands.find((candidate) => candidate.name() === name);
        if (verb === undefined) {
          await command.parseAsync([name], { from: 'user' });
          return;
        }
        await loadVerb(verb, session);
        command = verb;
      }
      command.outputHelp();
    });
  program.hook('preSubcommand', async (_program, command) => loadVerb(command, session));
  return program;
}

function addVerbs(command: Command, family: VerbFamily, session: Session): void {
  command.usage('COMMAND ...').enablePositionalOptions().helpCommand(false);
  if (family.load === undefined) command.description(`${family.summary}.`);
  addGlobalOptions(command, meaninglessIn(family));
  for (const { name, aliases, summary, group } of family.verbs) {
    const verb = command
      .command(name)
      .aliases(aliases ?? [])
      .summary(summary);
    if (group !== undefined) verb.helpGroup(group);
  }
  command.hook('preSubcommand', async (_family, verb) => loadVerb(verb, session));
}

/** Gives a verb its arguments, options, help and action, and a family of verbs its help. */
export async function loadVerb(command: Command, session: Session): Promise<void> {
  const family = catalogue.find(({ name }) => name === command.parent?.name());
  const siblings: readonly (CatalogueEntry | FamilyVerb)[] =
    family !== undefined && 'verbs' in family ? family.verbs : catalogue;
  const entry = siblings.find(({ name }) => name === command.name());
  const verb = await entry?.load?.();
  if (entry === undefined || verb === undefined) return;
  verb.define(command, session);
  if (!('verbs' in entry)) addGlobalOptions(command, meaninglessIn(family));
}

/** Global options that a family does not take, or gives a meaning of its own. */
function meaninglessIn(family: CatalogueEntry | undefined): readonly string[] {
  return family !== undefined && 'verbs' in family && family.rootless === true ? ['--root', '--driver'] : [];
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
