/** The real Docker engine of Debian (docker.io 20.10), with everything of its own below one directory. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { mountsBelow } from './scratch.js';

/** Debian's programs; another client in the PATH may be too new for this engine. */
export const dockerProgram = '/usr/bin/docker';
const daemonProgram = '/usr/sbin/dockerd';

/** True when the engine can be started; tests that need it print why they are skipped. */
export const hasDockerd = existsSync(dockerProgram) && existsSync(daemonProgram) && process.getuid?.() === 0;

export interface DockerDaemonOptions {
  /** `--storage-driver`: a built-in driver, or the name of a plugin (then pass `--experimental` as well). */
  readonly driver: string;
  /** Further arguments of dockerd. */
  readonly arguments?: readonly string[];
  readonly environment?: NodeJS.ProcessEnv;
}

export interface DockerEnded {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * A running engine. Disposing of it stops the engine, waits for its end and takes away its mounts; files stay, and the
 * engine can be started again on them.
 *
 * There is no network: give `--network=none` to `docker run`, `docker create` and `docker build`.
 */
export class DockerDaemon implements AsyncDisposable {
  private constructor(
    readonly directory: string,
    private readonly daemon: ChildProcess,
    private readonly ended: Promise<void>,
    private readonly output: { text: string },
  ) {}

  /** @param directory short: the path of the socket in it must fit into 107 bytes */
  static async start(directory: string, options: DockerDaemonOptions): Promise<DockerDaemon> {
    const place = (name: string): string => join(directory, name);
    for (const name of ['exec', 'client']) mkdirSync(place(name), { recursive: true });
    writeFileSync(place('daemon.json'), '{}');
    const argv = [
      `--config-file=${place('daemon.json')}`,
      `--data-root=${place('data')}`,
      `--exec-root=${place('exec')}`,
      `--pidfile=${place('docker.pid')}`,
      `--host=unix://${place('docker.sock')}`,
      `--storage-driver=${options.driver}`,
      '--bridge=none',
      '--iptables=false',
      '--ip6tables=false',
      ...(options.arguments ?? []),
    ];
    const daemon = spawn(daemonProgram, argv, {
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true,
      env: { ...process.env, ...options.environment },
    });
    const output = { text: '' };
    daemon.stderr.setEncoding('utf8').on('data', (text: string) => (output.text += text));
    const ended = new Promise<void>((resolve) => daemon.once('close', () => resolve()));
    const started = new DockerDaemon(directory, daemon, ended, output);
    try {
      await started.#answering();
    } catch (error) {
      await started.stop();
      throw error;
    }
    return started;
  }

  get socket(): string {
    return join(this.directory, 'docker.sock');
  }

  get dataRoot(): string {
    return join(this.directory, 'data');
  }

  get pid(): number {
    return this.daemon.pid ?? 0;
  }

  /** What the engine has written to stderr so far. */
  get log(): string {
    return this.output.text;
  }

  /** Runs the client and waits for its end. */
  run(...args: readonly string[]): DockerEnded {
    const { status, stdout, stderr } = spawnSync(dockerProgram, args, {
      encoding: 'utf8',
      maxBuffer: 1 << 28,
      env: this.environment(),
    });
    return { code: status, stdout, stderr };
  }

  /** The stdout, without the last line's end, of a command that must succeed. */
  docker(...args: readonly string[]): string {
    const { code, stdout, stderr } = this.run(...args);
    if (code !== 0) throw new Error(`docker ${args.join(' ')}: exit ${String(code)}\n${stderr}\n${this.log}`);
    return stdout.trimEnd();
  }

  /** For clients that are started otherwise. */
  environment(): NodeJS.ProcessEnv {
    return {
      ...process.env,
      DOCKER_HOST: `unix://${this.socket}`,
      DOCKER_CONFIG: join(this.directory, 'client'),
      DOCKER_BUILDKIT: '0',
    };
  }

  /** Ends the engine as a service manager does, containers included. */
  async stop(): Promise<void> {
    this.daemon.kill('SIGTERM');
    await this.ended;
    this.#unmountAll();
  }

  /** Ends the engine alone, as a crash does: its mounts and containers stay. */
  async kill(): Promise<void> {
    this.daemon.kill('SIGKILL');
    await this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #answering(): Promise<void> {
    for (let attempt = 0; attempt < 4800; attempt += 1) {
      if (this.daemon.exitCode !== null) break;
      if (existsSync(this.socket) && (await answersPing(this.socket))) return;
      await delay(50);
    }
    throw new Error(`dockerd does not answer\n${this.log}`);
  }

  #unmountAll(): void {
    for (const point of mountsBelow(this.directory).reverse()) spawnSync('umount', ['-l', point]);
  }
}

/** The pid of the containerd that an engine has started; after a kill it lives on. */
export function containerdOf(directory: string): number | undefined {
  const file = join(directory, 'exec', 'containerd', 'containerd.pid');
  return existsSync(file) ? Number(readFileSync(file, 'utf8')) : undefined;
}

function answersPing(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    request({ socketPath, path: '/_ping' }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    })
      .on('error', () => resolve(false))
      .end();
  });
}
