import { parseImageConfig } from '@layerstore/oci';
import { StoreError } from '@layerstore/core';
import { runInRoot } from '@layerstore/linux';
import { readDocument } from '../blobs.js';
import type { StoreContext } from '../context.js';
import { resolveContainer } from './container-records.js';
import { mountContainer } from './mount.js';

export interface RunOptions {
  /** Added to the image's environment. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Absolute path in the view; default: the image's. */
  readonly workingDirectory?: string;
  readonly stdio?: 'inherit' | 'pipe';
  readonly signal?: AbortSignal;
}

export interface RunResult {
  /** The command's own code; 126 and 127 when it could not be run or found, 128 + n after a signal. */
  readonly exitCode: number;
  /** With `stdio: 'pipe'`. */
  readonly stdout?: string;
  readonly stderr?: string;
}

const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * Runs a command in a container's view: mount namespace and chroot. A convenience for trusted programs, not a security boundary.
 * An empty command means the image's entry point and arguments.
 * @throws StoreError ERR_CONTAINER_NOT_FOUND, ERR_INVALID_ARGUMENT without any command, ERR_NEEDS_ROOT
 */
export async function runInContainer(
  context: StoreContext,
  nameOrId: string,
  command: readonly string[],
  options: RunOptions,
): Promise<RunResult> {
  const container = resolveContainer(context.database, nameOrId);
  const defaults = parseImageConfig(readDocument(context.paths, container.image)).config;
  const argv = command.length > 0 ? [...command] : [...(defaults?.Entrypoint ?? []), ...(defaults?.Cmd ?? [])];
  if (argv.length === 0) {
    throw new StoreError('ERR_INVALID_ARGUMENT', 'no command was given and the image names none', {
      subject: container.name,
      hint: 'give one: layerstore run NAME -- COMMAND',
    });
  }
  await using view = await mountContainer(context, container.id, 'process');
  return await runInRoot({
    root: view.path,
    command: argv,
    environment: { PATH: defaultPath, ...environmentOf(defaults?.Env ?? []), ...options.environment },
    workingDirectory: options.workingDirectory ?? (defaults?.WorkingDir || '/'),
    stdio: options.stdio ?? 'inherit',
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
}

function environmentOf(list: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    list.map((entry) => {
      const split = entry.indexOf('=');
      return split < 0 ? [entry, ''] : [entry.slice(0, split), entry.slice(split + 1)];
    }),
  );
}
