import { Option, type Command } from 'commander';
import { usageError } from './failures.js';
import { progressModes, type ProgressMode } from './progress/progress.js';

export const logLevels = ['error', 'warn', 'info', 'debug'] as const;
export type LogLevel = (typeof logLevels)[number];

export const defaultRoot = '/var/lib/layerstore';

/** What holds for every command. */
export interface GlobalOptions {
  readonly root: string;
  readonly driver: string | undefined;
  readonly storageOptions: Readonly<Record<string, string>> | undefined;
  readonly progress: ProgressMode;
  readonly logLevel: LogLevel;
}

interface RawOptions {
  readonly root?: string;
  readonly driver?: string;
  readonly storageOpt?: readonly string[];
  readonly progress?: ProgressMode;
  readonly logLevel?: LogLevel;
}

const heading = 'Global options:';

/**
 * Adds the global options; they are understood before and after the verb. A verb that has an option of the same name keeps its own.
 * @param meaningless options that the verb does not take
 */
export function addGlobalOptions(command: Command, meaningless: readonly string[] = []): void {
  const options = [
    new Option('--root <dir>', `directory that the store owns (default: ${defaultRoot}, or $LAYERSTORE_ROOT)`),
    new Option('--driver <name>', 'driver of a new root, or the one that the root must have (default: overlay2)'),
    new Option('--storage-opt <key=value>', 'option of the driver; may be repeated').argParser(collect),
    new Option('--progress <mode>', 'how progress is shown on stderr (default: auto)').choices(progressModes),
    new Option('--log-level <level>', 'what is logged to stderr (default: warn)').choices(logLevels),
  ];
  const taken = [...command.options.map(({ long }) => long), ...meaningless];
  for (const option of options) if (!taken.includes(option.long)) command.addOption(option.helpGroup(heading));
}

/** Gathers an option that may be repeated. */
export function collect(value: string, previous: readonly string[] | undefined): string[] {
  return [...(previous ?? []), value];
}

/** The global options of a command; what stands after the verb wins, then what stands before it, then the environment. */
export function readGlobalOptions(command: Command, environment: NodeJS.ProcessEnv): GlobalOptions {
  const before = optionsBefore(command);
  const ownStorageOptions =
    command.options.find((option) => option.long === '--storage-opt')?.helpGroupHeading !== heading;
  const { storageOpt, ...others } = command.opts<RawOptions>();
  const after: RawOptions = storageOpt === undefined || ownStorageOptions ? others : { ...others, storageOpt };
  const fromEnvironment = environment['LAYERSTORE_ROOT'];
  const root = after.root ?? before.root ?? (fromEnvironment === '' ? undefined : fromEnvironment) ?? defaultRoot;
  if (root === '') throw usageError('--root is empty', 'give the path of a directory');
  const pairs = [...(before.storageOpt ?? []), ...(after.storageOpt ?? [])];
  return {
    root,
    driver: after.driver ?? before.driver,
    storageOptions: pairs.length === 0 ? undefined : parsePairs('--storage-opt', pairs),
    progress: after.progress ?? before.progress ?? 'auto',
    logLevel: after.logLevel ?? before.logLevel ?? 'warn',
  };
}

/** What stands before the verb: behind `layerstore`, and behind `layer` in `layer ls`. */
function optionsBefore(command: Command): RawOptions {
  const above = command.parent;
  if (above === null) return {};
  const outer = optionsBefore(above);
  const { storageOpt = [], ...own } = above.opts<RawOptions>();
  return { ...outer, ...own, storageOpt: [...(outer.storageOpt ?? []), ...storageOpt] };
}

/** `['a=b']` -> `{ a: 'b' }`. @throws StoreError ERR_INVALID_ARGUMENT */
export function parsePairs(option: string, pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const split = pair.indexOf('=');
      if (split < 1) throw usageError(`${option} ${pair}: not of the form KEY=VALUE`);
      return [pair.slice(0, split), pair.slice(split + 1)];
    }),
  );
}
