import { realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Command } from 'commander';
import { fromSystemError } from '@layerstore/core';
import type { Session } from '../../session.js';
import { addExamples } from '../help-text.js';
import { addRepositoryOptions, describedRepository } from './repository-options.js';

interface MountRepositoryOptions {
  readonly foreground?: true;
  readonly runtimeDir: string;
  readonly json?: true;
}

const LOOK_MS = 500;

export function define(command: Command, session: Session): void {
  command
    .description(
      'Mount a revision of a CernVM-FS repository, read-only. Its files come when they are first read, and stay in the cache. The revision ' +
        'stays what it is, whatever is published meanwhile. Needs root.',
    )
    .argument('<REPOSITORY>', 'fully qualified name of the repository')
    .argument('<DIRECTORY>', 'where to mount it; made where it is missing')
    .option('--foreground', 'stay until Ctrl-C, or until somebody unmounts it, and unmount then')
    .option('--runtime-dir <dir>', 'where servers of repositories are found', '/run/layerstore')
    .option('--json', 'print { "repository", "rootHash", "revision", "path" }');
  addRepositoryOptions(command).action(async (name: string, directory: string, options: MountRepositoryOptions) =>
    session.withDisplay(command, {}, async ({ signal }, globalOptions) => {
      const { isMountedOn, LazyRepositories, mountOnDirectory, unmountDirectory } = await import('@layerstore/cvmfs');
      const { configuration, choice } = await describedRepository(command, name, session.logger(globalOptions));
      const mounts = new LazyRepositories({
        configuration: () => configuration,
        runtimeDirectory: resolve(options.runtimeDir),
      });
      const target = mountPoint(directory);
      const request = { repository: name, signal, ...(choice === undefined ? {} : { revision: choice }) };
      const mount = await mountOnDirectory(mounts, target, request);
      if (options.json === true) session.printJson(mount);
      else session.print(mount.path);
      if (options.foreground !== true) return;
      session.interruption.expectStop();
      while (!signal.aborted && isMountedOn(target)) await delay(LOOK_MS, undefined, { signal }).catch(() => undefined);
      if (isMountedOn(target)) await unmountDirectory(target);
    }),
  );
  addExamples(command, [
    ['layerstore cvmfs mount sw.example.org /mnt/sw', 'the newest revision'],
    ['layerstore cvmfs mount --tag stable sw.example.org /mnt/sw', 'a named one'],
    ['layerstore cvmfs unmount /mnt/sw', 'the counterpart'],
  ]);
}

/** The name of a directory in the mount table; the last component is not looked at, for a mount on it may hang. */
export function mountPoint(directory: string): string {
  const path = resolve(directory);
  try {
    return join(realpathSync(dirname(path)), basename(path));
  } catch (error) {
    throw fromSystemError(error, path);
  }
}
