import { resolve } from 'node:path';
import { Option, type Command } from 'commander';
import type { ServedRoot } from '@layerstore/daemon';
import { usageError } from '../../failures.js';
import { collect, readGlobalOptions, type GlobalOptions } from '../../global-options.js';
import type { Session } from '../../session.js';
import { addExamples } from '../help-text.js';
import { listenDescriptor } from './listen-descriptor.js';
import { addServeOptions, startObservation, type ServeOptions } from './serving.js';
import { untilStopped } from './until-stopped.js';

const defaultSocket = '/run/layerstore/containerd.sock';
const configurations = ['containerd', 'systemd-service', 'systemd-socket'] as const;

interface ServeContainerdCommandOptions extends ServeOptions {
  readonly socket: string;
  readonly name: string;
  readonly snapshotter?: readonly string[];
  readonly sync: boolean;
  readonly printConfig?: (typeof configurations)[number];
}

export function define(command: Command, session: Session): void {
  command
    .description(
      'Serve snapshots to containerd as a proxy plugin, until SIGTERM. containerd unpacks and mounts; layerstore keeps the directories, and ' +
        'answers with layers that the root has already, so that they are not fetched.',
    )
    .option('--socket <file>', 'where to listen; a socket that systemd passes on comes first', defaultSocket)
    .option(
      '--name <name>',
      'name of this server: it owns, and shows, only what was made under this name',
      'containerd',
    )
    .option(
      '--snapshotter <name=dir>',
      'serve the snapshotter of this name from another root, NAME=DIR or NAME=DIR,driver=D; may be repeated',
      collect,
    )
    .option('--no-sync', 'let a commit return before its data is on disk; it follows within seconds')
    .addOption(
      new Option('--print-config <what>', 'print configuration that fits these options, and serve nothing').choices(
        configurations,
      ),
    );
  addServeOptions(command);
  command.action(async (options: ServeContainerdCommandOptions) => {
    const globals = readGlobalOptions(command, process.env);
    const bySnapshotter = servedRoots(options.snapshotter ?? []);
    if (options.printConfig === undefined) await serve(command, session, options, mainRoot(globals), bySnapshotter);
    else session.write(Buffer.from(await configuration(options, globals, Object.keys(bySnapshotter))));
  });
  addExamples(command, [
    ['layerstore serve containerd --print-config containerd >> /etc/containerd/config.toml', 'tell containerd of it'],
    ['layerstore serve containerd --metrics 127.0.0.1:9323 --log-level info', 'serve /var/lib/layerstore'],
    ['layerstore serve containerd --snapshotter copies=/srv/copies,driver=vfs', 'two drivers on one socket'],
  ]);
}

async function serve(
  command: Command,
  session: Session,
  options: ServeContainerdCommandOptions,
  main: ServedRoot,
  bySnapshotter: Readonly<Record<string, ServedRoot>>,
): Promise<void> {
  session.interruption.expectStop();
  const { serveContainerd } = await import('@layerstore/daemon');
  await using observed = await startObservation('containerd', command, options, session);
  const descriptor = listenDescriptor(process.env, process.pid);
  await using server = await serveContainerd({
    listen: descriptor === undefined ? { path: options.socket } : { fd: descriptor },
    name: options.name,
    main,
    bySnapshotter,
    durability: options.sync ? 'synced' : 'unsynced',
    observation: observed.observation,
  });
  await untilStopped(server.failed, session);
  observed.observation.logger.info({}, 'ending');
}

function mainRoot({ root, driver, storageOptions }: GlobalOptions): ServedRoot {
  return {
    root: resolve(root),
    ...(driver === undefined ? {} : { driver }),
    ...(storageOptions === undefined ? {} : { storageOptions }),
  };
}

/** `['copies=/srv/copies,driver=vfs']` -> the root of `copies`. @throws StoreError ERR_INVALID_ARGUMENT */
function servedRoots(texts: readonly string[]): Record<string, ServedRoot> {
  return Object.fromEntries(
    texts.map((text) => {
      const [, name, root, driver] = /^([^=]+)=(.+?)(?:,driver=([^,=]+))?$/.exec(text) ?? [];
      if (name === undefined || root === undefined) {
        throw usageError(`--snapshotter ${text}: not of the form NAME=DIR or NAME=DIR,driver=D`);
      }
      return [name, { root: resolve(root), ...(driver === undefined ? {} : { driver }) }];
    }),
  );
}

async function configuration(
  options: ServeContainerdCommandOptions,
  { root, driver, storageOptions = {} }: GlobalOptions,
  snapshotters: readonly string[],
): Promise<string> {
  const { containerdConfiguration, systemdService, systemdSocket } = await import('@layerstore/daemon');
  const socket = resolve(options.socket);
  switch (options.printConfig) {
    case 'systemd-socket':
      return systemdSocket(socket);
    case 'systemd-service':
      return systemdService([
        ...[process.execPath, resolve(process.argv[1] ?? 'layerstore'), 'serve', 'containerd', '--socket', socket],
        ...['--root', resolve(root), ...(driver === undefined ? [] : ['--driver', driver])],
        ...Object.entries(storageOptions).flatMap(([key, value]) => ['--storage-opt', `${key}=${value}`]),
        ...(options.name === 'containerd' ? [] : ['--name', options.name]),
        ...(options.snapshotter ?? []).flatMap((text) => ['--snapshotter', text]),
        ...(options.sync ? [] : ['--no-sync']),
        ...(options.metrics === undefined ? [] : ['--metrics', options.metrics]),
      ]);
    default:
      return containerdConfiguration({ socket, root: resolve(root), snapshotters: ['layerstore', ...snapshotters] });
  }
}
