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
  /** Layers of a home; the options as they were typed. */
  layers(home: string, driver: string | undefined): Promise<readonly Candidate[]>;
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
  const { command, pending } = position;
  if (pending !== undefined) return await valuesOf(pending, current, { prefix: '', position, sources });
  if (position.programArguments) return { candidates: [], paths: 'files' };
  const assignment = /^(--[^=]+)=(.*)$/s.exec(current);
  if (assignment !== null && !position.optionsEnded) {
    const [, name = '', value = ''] = assignment;
    const option = command.options.find(({ long }) => long === name);
    if (option === undefined) return nothing;
    return await valuesOf(option, value, { prefix: `${name}=`, position, sources });
  }
  if (current.startsWith('-') && !position.optionsEnded) return matching(optionsOf(command), current);
  if (command.commands.length > 0) return matching(verbsOf(command), current);
  return argumentValues(command.registeredArguments, current, { program, position, sources });
}

/** Walks the words before the cursor. */
class Position {
  command: Command;
  /** Option whose value comes next. */
  pending: Option | undefined;
  operands = 0;
  optionsEnded = false;
  /** What was given for options that tell where names are to be found. */
  readonly values = new Map<string, string>();

  constructor(program: Command) {
    this.command = program;
  }

  /** Behind the name and `--` of `run`, words belong to the program that is run. */
  get programArguments(): boolean {
    return this.command.name() === 'run' && this.operands > 0;
  }

  pass(word: string): 'verb' | 'other' {
    if (this.pending !== undefined) {
      this.keep(this.pending, word);
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
    else this.keep(option, value);
  }

  private keep(option: Option, value: string): void {
    if (option.long !== undefined) this.values.set(option.long, value);
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

interface Context {
  readonly position: Position;
  readonly sources: CompletionSources;
}

/** The placeholder says what an option takes: `--input <file>`, `--root <dir>`, `--parent <id>`. */
async function valuesOf(
  option: Option,
  current: string,
  { prefix, position, sources }: Context & { readonly prefix: string },
): Promise<Completion> {
  const choices = (option.argChoices ?? []).filter((choice) => choice.startsWith(current));
  const candidates = choices.map((choice) => ({ value: prefix + choice, description: '' }));
  const placeholder = /<(\w+)>/.exec(option.flags)?.[1];
  if (placeholder === 'id') {
    const layers = await layersAt(position, sources);
    return matching(
      layers.map((layer) => ({ ...layer, value: prefix + layer.value })),
      prefix + current,
    );
  }
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
  current: string,
  { program, position, sources }: Context & { readonly program: Command },
): Promise<Completion> {
  const last = definitions.at(-1);
  const definition = definitions[position.operands] ?? (last?.variadic === true ? last : undefined);
  if (definition === undefined) return nothing;
  const root = position.values.get('--root');
  switch (definition.name()) {
    case 'IMAGE':
    case 'REFERENCE':
      return matching(await sources.images(root), current);
    case 'CONTAINER':
      return matching(await sources.containers(root), current);
    case 'NAME':
      return matching([...(await sources.containers(root)), ...(await sources.images(root))], current);
    case 'ID':
      return matching(await layersAt(position, sources), current);
    case 'COMMAND':
      return position.operands === 0 ? matching(verbsOf(program), current) : nothing;
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

async function layersAt({ values }: Position, sources: CompletionSources): Promise<readonly Candidate[]> {
  const home = values.get('--home');
  return home === undefined ? [] : sources.layers(home, values.get('--driver'));
}

function matching(candidates: readonly Candidate[], current: string): Completion {
  return { candidates: candidates.filter(({ value }) => value.startsWith(current)), paths: 'none' };
}
