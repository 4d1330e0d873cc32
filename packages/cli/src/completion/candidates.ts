import type { Argument, Command, Option } from 'commander';

/** One word that can stand at the cursor. */
export interface Candidate {
  readonly value: string;
  readonly description: string;
}

/** What the shell offers: our candidates, and its own files or directories. */
export interface Completion {
  readonly candidates: readonly Candidate[];
  readonly paths: 'none' | 'files' | 'directories';
}

/** What is asked for only when the cursor stands where it is wanted. */
export interface CompletionSources {
  /** Defines arguments and options of a verb. */
  loadVerb(verb: Command): Promise<void>;
  /** Names in the store at `root`; the option as it was typed, if it was. */
  images(root: string | undefined): Promise<readonly Candidate[]>;
  containers(root: string | undefined): Promise<readonly Candidate[]>;
}

const nothing: Completion = { candidates: [], paths: 'none' };

/** Completes `current` after `before`, by the definitions that commander parses with. */
export async function complete(
  program: Command,
  before: readonly string[],
  current: string,
  sources: CompletionSources,
): Promise<Completion> {
  const position = new Position(program);
  for (const word of before) if (position.pass(word) === 'verb') await sources.loadVerb(position.command);
  const { command, pending, root } = position;
  if (pending !== undefined) return valuesOf(pending, current, '');
  if (position.programArguments) return { candidates: [], paths: 'files' };
  const assignment = /^(--[^=]+)=(.*)$/s.exec(current);
  if (assignment !== null && !position.optionsEnded) {
    const [, name = '', value = ''] = assignment;
    const option = command.options.find(({ long }) => long === name);
    return option === undefined ? nothing : valuesOf(option, value, `${name}=`);
  }
  if (current.startsWith('-') && !position.optionsEnded) return matching(optionsOf(command), current);
  if (command.commands.length > 0) return matching(verbsOf(command), current);
  return argumentValues(command.registeredArguments, position.operands, current, { program, root, sources });
}

/** Walks the words before the cursor. */
class Position {
  command: Command;
  /** Option whose value comes next. */
  pending: Option | undefined;
  operands = 0;
  optionsEnded = false;
  root: string | undefined;

  constructor(program: Command) {
    this.command = program;
  }

  /** Behind the name and `--` of `run`, words belong to the program that is run. */
  get programArguments(): boolean {
    return this.command.name() === 'run' && this.operands > 0;
  }

  pass(word: string): 'verb' | 'other' {
    if (this.pending !== undefined) {
      if (this.pending.long === '--root') this.root = word;
      this.pending = undefined;
      return 'other';
    }
    if (word === '--') this.optionsEnded = true;
    else if (word.startsWith('-') && word !== '-' && !this.optionsEnded) this.passOption(word);
    else if (this.command.commands.length > 0) return this.passVerb(word);
    else this.operands += 1;
    return 'other';
  }

  private passOption(word: string): void {
    const [name, value] = /^(--[^=]+)=(.*)$/s.exec(word)?.slice(1) ?? [word, undefined];
    const option = this.command.options.find(({ long, short }) => long === name || short === name);
    if (option === undefined || !takesValue(option)) return;
    if (value === undefined) this.pending = option;
    else if (option.long === '--root') this.root = value;
  }

  private passVerb(word: string): 'verb' | 'other' {
    const verb = this.command.commands.find(
      (candidate) => candidate.name() === word || candidate.aliases().includes(word),
    );
    if (verb === undefined) return 'other';
    this.command = verb;
    return 'verb';
  }
}

const takesValue = ({ required, optional }: Option): boolean => required || optional;

/** The placeholder says what an option takes: `--input <file>`, `--root <dir>`. */
function valuesOf(option: Option, current: string, prefix: string): Completion {
  const choices = (option.argChoices ?? []).filter((choice) => choice.startsWith(current));
  const candidates = choices.map((choice) => ({ value: prefix + choice, description: '' }));
  const placeholder = /<(\w+)>/.exec(option.flags)?.[1];
  return { candidates, paths: placeholder === 'file' ? 'files' : placeholder === 'dir' ? 'directories' : 'none' };
}

function optionsOf(command: Command): Candidate[] {
  return command.options.flatMap(({ long, description }) => (long === undefined ? [] : [{ value: long, description }]));
}

function verbsOf(program: Command): Candidate[] {
  return program.commands.map((verb) => ({ value: verb.name(), description: verb.summary() }));
}

/** The name of an argument says what it takes: `<IMAGE...>`, `[FILE]`. */
async function argumentValues(
  definitions: readonly Argument[],
  operands: number,
  current: string,
  context: { program: Command; root: string | undefined; sources: CompletionSources },
): Promise<Completion> {
  const last = definitions.at(-1);
  const definition = definitions[operands] ?? (last?.variadic === true ? last : undefined);
  if (definition === undefined) return nothing;
  const { program, root, sources } = context;
  switch (definition.name()) {
    case 'IMAGE':
    case 'REFERENCE':
      return matching(await sources.images(root), current);
    case 'CONTAINER':
      return matching(await sources.containers(root), current);
    case 'NAME':
      return matching([...(await sources.containers(root)), ...(await sources.images(root))], current);
    case 'COMMAND':
      return operands === 0 ? matching(verbsOf(program), current) : nothing;
    case 'FILE':
    case 'TAR':
      return { candidates: [], paths: 'files' };
    default:
      return matching(
        (definition.argChoices ?? []).map((value) => ({ value, description: '' })),
        current,
      );
  }
}

function matching(candidates: readonly Candidate[], current: string): Completion {
  return { candidates: candidates.filter(({ value }) => value.startsWith(current)), paths: 'none' };
}
