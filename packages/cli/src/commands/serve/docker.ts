import { realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { Option, type Command } from 'commander';
import { usageError } from '../../failures.js';
import { readGlobalOptions, type GlobalOptions } from '../../global-options.js';
import type { Session } from '../../session.js';
import { addExamples } from '../help-text.js';
import { listenDescriptor } from './listen-descriptor.js';
import { addServeOptions, startObservation, type ServeOptions } from './serving.js';
import { untilStopped } from './until-stopped.js';

interface ServeDockerOptions extends ServeOptions {
  readonly socket?: string;
  readonly stateDir: string;
  readonly printUnits?: true;
  readonly name?: string;
  readonly json?: true;
}

const defaultStateDirectory = '/run/layerstore/docker';

export function define(command: Command, session: Session): void {
  command
    .description(
      'Serve a graph-driver plugin to dockerd 1.13 to 27, which is started with `--experimental --storage-driver NAME`. NAME is ' +
        'that of the socket in /run/docker/plugins, or of a discovery file. Newer engines use `layerstore serve containerd`.',
    )
    .option('--socket <file>', 'Unix socket to listen on, for example /run/docker/plugins/layerstore.sock')
    .option('--state-dir <dir>', "where the socket's home is kept for restarts", defaultStateDirectory)
    .option('--print-units', 'print systemd units and discovery files, and serve nothing')
    .option('--name <name>', 'with --print-units: name of the plugin (default: that of the socket)')
    .addOption(new Option('--json', 'with --print-units: print [{ "path": ..., "content": ... }]'));
  addServeOptions(command);
  command.action(async (options: ServeDockerOptions) => {
    if (options.socket === undefined || options.socket === '') {
      throw usageError('--socket is missing', 'for example --socket /run/docker/plugins/layerstore.sock');
    }
    const global = readGlobalOptions(command, process.env);
    if (options.printUnits === true) return printFiles(options.socket, options, global, session);
    if (options.name !== undefined || options.json === true) {
      throw usageError('--name and --json go with --print-units');
    }
    return serve(realSocketPath(options.socket), options, global, command, session);
  });
  addExamples(command, [
    [
      'layerstore serve docker --socket /run/docker/plugins/layerstore.sock --driver overlay2',
      'then dockerd --experimental -s layerstore',
    ],
    [
      'layerstore serve docker --socket /run/layerstore/docker.sock --name layerstore --print-units',
      'for a socket elsewhere',
    ],
  ]);
}

async function serve(
  socket: string,
  options: ServeDockerOptions,
  global: GlobalOptions,
  command: Command,
  session: Session,
): Promise<void> {
  session.interruption.expectStop();
  const { serveDocker } = await import('@layerstore/daemon');
  await using observed = await startObservation('docker', command, options, session);
  const descriptor = listenDescriptor(process.env, process.pid);
  await using plugin = await serveDocker({
    socket,
    driver: global.driver ?? 'overlay2',
    stateDirectory: resolve(options.stateDir),
    observation: observed.observation,
    ...(descriptor === undefined ? {} : { listenDescriptor: descriptor }),
    ...(global.storageOptions === undefined ? {} : { storageOptions: global.storageOptions }),
  });
  await untilStopped(plugin.failed, session);
}

async function printFiles(
  socket: string,
  options: ServeDockerOptions,
  global: GlobalOptions,
  session: Session,
): Promise<void> {
  const { dockerPluginFiles } = await import('@layerstore/daemon');
  const path = resolve(socket);
  const files = dockerPluginFiles({
    socket: path,
    command: serveCommand(path, options, global),
    ...(options.name === undefined ? {} : { name: options.name }),
  });
  if (options.json === true) session.printJson(files);
  else
    session.print(
      files
        .map(({ path: file, content }) => `# ${file}\n${content}`)
        .join('\n')
        .trimEnd(),
    );
}

/** The command line that serves what this one would serve. */
function serveCommand(socket: string, options: ServeDockerOptions, global: GlobalOptions): string[] {
  const program = process.argv[1] ?? '';
  return [
    process.execPath,
    realpathSync(program),
    'serve',
    'docker',
    '--socket',
    socket,
    '--driver',
    global.driver ?? 'overlay2',
    ...Object.entries(global.storageOptions ?? {}).flatMap(([key, value]) => ['--storage-opt', `${key}=${value}`]),
    ...(options.stateDir === defaultStateDirectory ? [] : ['--state-dir', resolve(options.stateDir)]),
    ...(options.metrics === undefined ? [] : ['--metrics', options.metrics]),
  ];
}

/** The record of the home is found by this path: it must not depend on the way there. */
function realSocketPath(path: string): string {
  const absolute = resolve(path);
  try {
    return join(realpathSync(dirname(absolute)), basename(absolute));
  } catch {
    // The directory is made when the server listens.
    return absolute;
  }
}
