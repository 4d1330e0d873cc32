/** The Docker plugin of layerstore as a process of its own, and an engine that runs on it. */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { commandPath } from './command.js';
import { containerdOf, DockerDaemon, dockerProgram } from './dockerd.js';

/** dockerd looks for discovery files here only. */
const discovery = '/etc/docker/plugins';

export interface PluginOptions {
  readonly driver: string;
  /** Further arguments of `layerstore serve docker`. */
  readonly arguments?: readonly string[];
  /** A command that runs the plugin: `unshare --mount` for example. */
  readonly under?: readonly string[];
}

/** A running plugin. Disposing of it ends it as a service manager does; what is mounted stays. */
export class DockerPluginProcess implements AsyncDisposable {
  private constructor(
    readonly socket: string,
    private readonly child: ChildProcess,
    private readonly ended: Promise<number | null>,
    private readonly output: { text: string },
  ) {}

  /** @param directory short, for the socket in it */
  static async start(directory: string, options: PluginOptions): Promise<DockerPluginProcess> {
    const started = DockerPluginProcess.launch(directory, options);
    for (let attempt = 0; attempt < 400; attempt += 1) {
      if (await accepts(started.socket)) return started;
      if (started.child.exitCode !== null) break;
      await delay(25);
    }
    throw new Error(`the plugin does not answer\n${started.log}`);
  }

  /** Starts without waiting until it serves. */
  static launch(directory: string, options: PluginOptions): DockerPluginProcess {
    mkdirSync(directory, { recursive: true });
    const socket = join(directory, 'plugin.sock');
    const [program = '', ...argv] = [
      ...(options.under ?? []),
      process.execPath,
      commandPath,
      ...['serve', 'docker', '--socket', socket, '--driver', options.driver],
      ...['--state-dir', join(directory, 'state'), '--log-level', 'info'],
      ...(options.arguments ?? []),
    ];
    const child = spawn(program, argv, { stdio: ['ignore', 'ignore', 'pipe'] });
    const output = { text: '' };
    child.stderr.setEncoding('utf8').on('data', (text: string) => (output.text += text));
    const ended = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
    return new DockerPluginProcess(socket, child, ended, output);
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** The processes that a {@link serviceManager} has started so far, the last of which serves. */
  get servingPids(): number[] {
    return [...this.log.matchAll(/^serving: (\d+)$/gm)].map(([, pid]) => Number(pid));
  }

  /** What it has logged so far. */
  get log(): string {
    return this.output.text;
  }

  /** The exit status, when it has ended. */
  async end(): Promise<number | null> {
    return this.ended;
  }

  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<number | null> {
    this.child.kill(signal);
    return this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/**
 * What a service manager does for a service with a socket unit: listens on a path as descriptor 3, and starts the program again
 * whenever it ends. Give it as `under`, with the path of the socket.
 */
export const serviceManager = (socket: string): string[] => [
  'perl',
  '-MSocket',
  '-MPOSIX',
  '-e',
  `my $path = shift;
   $^F = 255;
   my $listener;
   socket($listener, AF_UNIX, SOCK_STREAM, 0) or die;
   bind($listener, sockaddr_un($path)) or die;
   listen($listener, 128) or die;
   chmod 0600, $path;
   POSIX::dup2(fileno($listener), 3);
   my ($child, $ending);
   $SIG{TERM} = sub { $ending = 1; kill 'TERM', $child };
   do {
     $child = fork;
     unless ($child) { $ENV{LISTEN_PID} = $$; $ENV{LISTEN_FDS} = 1; print STDERR "serving: $$\n"; exec @ARGV or die }
     1 until waitpid($child, 0) == $child;
   } until $ending;
   unlink $path;
   exit($? >> 8);`,
  socket,
];

export interface EngineOptions extends PluginOptions {
  /** Further arguments of dockerd. */
  readonly daemonArguments?: readonly string[];
}

/** dockerd on the plugin, found by a `.spec` file with a name of its own. */
export class PluginEngine implements AsyncDisposable {
  /** As in `--storage-driver`. */
  readonly name = `lstest${randomBytes(4).toString('hex')}`;
  plugin: DockerPluginProcess;
  daemon: DockerDaemon | undefined;

  private constructor(
    readonly directory: string,
    private readonly options: EngineOptions,
    plugin: DockerPluginProcess,
  ) {
    this.plugin = plugin;
  }

  /** @param directory short: sockets lie in it */
  static async start(directory: string, options: EngineOptions): Promise<PluginEngine> {
    const plugin = await DockerPluginProcess.start(join(directory, 'p'), options);
    const engine = new PluginEngine(directory, options, plugin);
    mkdirSync(discovery, { recursive: true });
    writeFileSync(engine.specification, `unix://${plugin.socket}`);
    try {
      await engine.startDaemon();
      return engine;
    } catch (error) {
      await engine[Symbol.asyncDispose]();
      throw error;
    }
  }

  get specification(): string {
    return join(discovery, `${this.name}.spec`);
  }

  /** The directory that the plugin's driver owns. */
  get home(): string {
    return join(this.directory, 'd', 'data', this.name);
  }

  get engine(): DockerDaemon {
    if (this.daemon === undefined) throw new Error('the engine is not running');
    return this.daemon;
  }

  docker(...args: readonly string[]): string {
    const { code, stdout, stderr } = this.engine.run(...args);
    if (code === 0) return stdout.trimEnd();
    throw new Error(
      `docker ${args.join(' ')}: exit ${String(code)}\n${stderr}\n${this.engine.log}\n${this.plugin.log}`,
    );
  }

  async startDaemon(): Promise<void> {
    this.daemon = await PluginEngine.daemonOn(join(this.directory, 'd'), this.name, this.options.daemonArguments);
  }

  /** An engine on the plugin of that name. */
  static daemonOn(directory: string, name: string, further: readonly string[] = []): Promise<DockerDaemon> {
    return DockerDaemon.start(directory, {
      driver: name,
      arguments: ['--experimental', '--log-level=warn', ...further],
    });
  }

  /** The same as {@link docker} without waiting. */
  async background(...args: readonly string[]): Promise<void> {
    const child = spawn(dockerProgram, args, { env: this.engine.environment(), stdio: ['ignore', 'ignore', 'pipe'] });
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const [code] = (await once(child, 'close')) as [number | null];
    if (code !== 0) throw new Error(`docker ${args.join(' ')}: exit ${String(code)}\n${stderr}\n${this.plugin.log}`);
  }

  /** Ends the engine and its containerd as a crash does; containers run on. */
  async killDaemon(): Promise<void> {
    const containerd = containerdOf(join(this.directory, 'd'));
    await this.daemon?.kill();
    this.daemon = undefined;
    if (containerd === undefined) return;
    process.kill(containerd, 'SIGKILL');
    while (existsSync(`/proc/${containerd}`)) await delay(20);
  }

  async stopDaemon(): Promise<void> {
    await this.daemon?.stop();
    this.daemon = undefined;
  }

  /** Ends the plugin and starts another in its place; the engine hears nothing of it. */
  async restartPlugin(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    await this.plugin.stop(signal);
    this.plugin = await DockerPluginProcess.start(join(this.directory, 'p'), this.options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopDaemon();
    await this.plugin.stop();
    rmSync(this.specification, { force: true });
  }
}

function accepts(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
