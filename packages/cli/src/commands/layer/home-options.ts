import { Option, type Command } from 'commander';
import { driverNames } from '@layerstore/drivers';
import type { LayerHome } from '@layerstore/store';
import type { Operation, Session } from '../../session.js';

/** The options that name a home. */
export interface HomeOptions {
  readonly home: string;
  readonly driver?: string;
  readonly readOnly?: true;
}

export function addHomeOptions(command: Command): Command {
  return command
    .requiredOption('--home <dir>', 'directory that the driver owns, for example /var/lib/docker/overlay2')
    .addOption(
      new Option('--driver <name>', 'driver of the home (default: told by what lies in it)').choices(driverNames),
    )
    .option('--read-only', 'change nothing in the home; its views take no writes and lie in /run/layerstore');
}

/** The options that name what a layer is compared with. */
export interface ParentOptions {
  /** `false` for --no-parent. */
  readonly parent?: string | false;
}

export function addParentOptions(command: Command): Command {
  return command
    .option('--parent <id>', 'compare with this layer (default: the one under it; vfs records none)')
    .option('--no-parent', 'compare with nothing: the whole view');
}

/** @returns what the library calls the same */
export function comparedWith({ parent }: ParentOptions): { parent?: string | null } {
  if (parent === undefined || parent === false) return parent === false ? { parent: null } : {};
  return { parent };
}

interface HomeUse {
  readonly create?: boolean;
  readonly progress?: boolean;
}

/** Opens the home that the options name, for the time of `work`. */
export async function withHome<T>(
  command: Command,
  session: Session,
  work: (home: LayerHome, operation: Operation) => Promise<T>,
  use: HomeUse = {},
): Promise<T> {
  const { home: path, readOnly } = command.opts<HomeOptions>();
  return session.withDisplay(command, use, async (operation, options) => {
    const { LayerHome } = await import('@layerstore/store');
    await using home = await LayerHome.open({
      home: path,
      create: use.create === true,
      access: readOnly === true ? 'read-only' : 'read-write',
      logger: session.logger(options),
      ...(options.driver === undefined ? {} : { driver: options.driver }),
      ...(options.storageOptions === undefined ? {} : { storageOptions: options.storageOptions }),
    });
    return await work(home, operation);
  });
}
