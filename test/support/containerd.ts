/** A real containerd, and the server that it gets its snapshots from, each with directories of its own. */
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createConnection, createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { join } from 'node:path';
import { commandPath } from './command.js';
import { DaemonProcess } from './daemon-process.js';
import type { Scratch } from './scratch.js';

const runAsync = promisify(execFile);

/** What the tests of containerd need. */
export const containerdPrograms = ['containerd', 'ctr', 'runc'] as const;

/** `layerstore serve containerd` on a root and a socket in `scratch`. */
export class SnapshotServer implements AsyncDisposable {
  readonly root: string;
  readonly socket: string;
  readonly log: string;
  #daemon: DaemonProcess | undefined;

  constructor(
    scratch: Scratch,
    private readonly argv: readonly string[] = [],
    name = 'ls',
    root = scratch.file(`${name}-root`),
  ) {
    this.root = root;
    this.socket = scratch.file(`${name}.sock`);
    this.log = scratch.file(`${name}.log`);
  }

  async start(): Promise<this> {
    const began = this.output().length;
    this.#daemon = await DaemonProcess.start({
      program: process.execPath,
      argv: [
        ...[commandPath, 'serve', 'containerd', '--root', this.root, '--socket', this.socket, '--log-level', 'debug'],
        ...this.argv,
      ],
      log: this.log,
      ready: () => this.output().slice(began).includes('"serving containerd"'),
    });
    return this;
  }

  get running(): boolean {
    return this.#daemon?.running === true;
  }

  get pid(): number {
    return this.#daemon?.pid ?? -1;
  }

  output(): string {
    return existsSync(this.log) ? readFileSync(this.log, 'utf8') : '';
  }

  /** Lines of the structured log. */
  records(): Record<string, unknown>[] {
    return this.output()
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | NodeJS.Signals | null> {
    const daemon = this.#daemon;
    this.#daemon = undefined;
    return daemon === undefined ? null : daemon.end(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
  }
}

export interface ContainerdOptions {
  /** Name of the snapshotter -> socket. */
  readonly snapshotters: Readonly<Record<string, string>>;
  /** Snapshotter of the CRI plugin, which is off without one. */
  readonly cri?: string;
}

export class Containerd implements AsyncDisposable {
  readonly socket: string;
  /** Where runc keeps the state of containers: its default is one for the whole machine. */
  readonly runcRoot: string;
  private readonly state: string;
  private readonly config: string;
  private readonly log: string;
  #daemon: DaemonProcess | undefined;

  constructor(scratch: Scratch, options: ContainerdOptions) {
    this.socket = scratch.file('c.sock');
    this.runcRoot = scratch.file('runc');
    this.state = scratch.file('c-state');
    this.config = scratch.file('containerd.toml');
    this.log = scratch.file('containerd.log');
    writeFileSync(this.config, configuration(scratch, this.socket, options));
  }

  async start(): Promise<this> {
    this.#daemon = await DaemonProcess.start({
      program: 'containerd',
      argv: ['--config', this.config, '--log-level', 'info'],
      log: this.log,
      ready: () => existsSync(this.socket) && this.answers(),
    });
    return this;
  }

  private answers(): boolean {
    try {
      this.ctr('version');
      return true;
    } catch {
      return false;
    }
  }

  output(): string {
    return existsSync(this.log) ? readFileSync(this.log, 'utf8') : '';
  }

  ctr(...argv: readonly string[]): string {
    return execFileSync('ctr', ['--address', this.socket, ...argv], {
      encoding: 'utf8',
      stdio: 'pipe',
      maxBuffer: 1 << 28,
    });
  }

  async ctrAsync(...argv: readonly string[]): Promise<string> {
    return (await runAsync('ctr', ['--address', this.socket, ...argv], { encoding: 'utf8', maxBuffer: 1 << 28 }))
      .stdout;
  }

  /** Starts a container that goes on until it is disposed of. */
  run(snapshotter: string, image: string, id: string, ...argv: readonly string[]): RunningContainer {
    this.ctr('run', '-d', '--runc-root', this.runcRoot, '--snapshotter', snapshotter, image, id, ...argv);
    return new RunningContainer(this, id, join(this.state, 'io.containerd.runtime.v2.task/default', id, 'rootfs'));
  }

  /**
   * Mounts a view of a committed snapshot at `target` for the time of `use`. (`ctr images mount` of 1.6 ignores the name of the snapshotter,
   * and `ctr snapshots view` leaves its view to the collector, which may come before the label.)
   */
  withView<T>(snapshotter: string, parent: string, target: string, use: (path: string) => T, namespace = 'default'): T {
    const snapshots = ['--namespace', namespace, 'snapshots', '--snapshotter', snapshotter];
    const key = this.makeView(snapshots, parent);
    mkdirSync(target, { recursive: true });
    execFileSync('sh', ['-e', '-c', this.ctr(...snapshots, 'mounts', target, key)]);
    try {
      return use(target);
    } finally {
      execFileSync('umount', [target]);
      this.ctr(...snapshots, 'rm', key);
    }
  }

  private makeView(snapshots: readonly string[], parent: string): string {
    for (let tries = 0; ; tries += 1) {
      const key = `view-${Math.random().toString(36).slice(2)}`;
      this.ctr(...snapshots, 'view', key, parent);
      try {
        this.ctr(...snapshots, 'label', key, 'containerd.io/gc.root=now');
        return key;
      } catch (error) {
        if (tries > 10 || !String(error).includes('not found')) throw error;
      }
    }
  }

  /** Waits until calls reach a server that has started anew: containerd dials again after a pause, and answers lists of nothing by itself. */
  async reach(snapshotter: string): Promise<void> {
    const snapshots = ['snapshots', '--snapshotter', snapshotter];
    const key = `reach-${Math.random().toString(36).slice(2)}`;
    for (let tries = 0; ; tries += 1) {
      try {
        this.ctr(...snapshots, 'prepare', key);
        break;
      } catch (error) {
        if (tries > 100) throw error;
        await delay(100);
      }
    }
    this.ctr(...snapshots, 'rm', key);
  }

  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await this.#daemon?.end(signal);
  }

  /** Ends containerd, and the shims of containers that a failed test has left. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
    for (const pid of shims(this.socket)) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended by itself.
      }
    }
  }
}

export class RunningContainer implements AsyncDisposable {
  constructor(
    private readonly containerd: Containerd,
    readonly id: string,
    /** Where the shim has mounted its snapshot. */
    readonly rootfs: string,
  ) {}

  /** Runs a second program in the container. */
  exec(execId: string, ...argv: readonly string[]): void {
    this.containerd.ctr('tasks', 'exec', '--exec-id', execId, this.id, ...argv);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { containerd, id } = this;
    containerd.ctr('tasks', 'kill', '--signal', 'SIGKILL', id);
    // The shim reports the end a moment later.
    for (let tries = 0; ; tries += 1) {
      try {
        containerd.ctr('tasks', 'rm', id);
        break;
      } catch (error) {
        if (tries > 100) throw error;
        await delay(50);
      }
    }
    containerd.ctr('containers', 'rm', id);
  }
}

/** The shims of one containerd name its socket on their command line. */
function shims(socket: string): number[] {
  const listed = execFileSync('ps', ['-eo', 'pid,args'], { encoding: 'utf8' });
  return listed
    .split('\n')
    .filter((line) => line.includes('containerd-shim') && line.includes(socket))
    .map((line) => Number(line.trim().split(' ')[0]));
}

function configuration(scratch: Scratch, socket: string, { snapshotters, cri }: ContainerdOptions): string {
  const off = ['devmapper', 'btrfs', 'zfs', 'aufs'].map((name) => `io.containerd.snapshotter.v1.${name}`);
  const disabled = [
    ...off,
    'io.containerd.internal.v1.opt',
    ...(cri === undefined ? ['io.containerd.grpc.v1.cri'] : []),
  ];
  mkdirSync(scratch.file('cni'), { recursive: true });
  const proxies = Object.entries(snapshotters).map(
    ([name, address]) => `[proxy_plugins.${name}]\n  type = "snapshot"\n  address = ${JSON.stringify(address)}\n`,
  );
  return `version = 2
root = ${JSON.stringify(scratch.file('c-root'))}
state = ${JSON.stringify(scratch.file('c-state'))}
disabled_plugins = ${JSON.stringify(disabled)}
[grpc]
  address = ${JSON.stringify(socket)}
[ttrpc]
  address = ${JSON.stringify(scratch.file('t.sock'))}
${proxies.join('')}
${
  cri === undefined
    ? ''
    : `[plugins."io.containerd.grpc.v1.cri"]
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = ${JSON.stringify(cri)}
    disable_snapshot_annotations = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = ${JSON.stringify(scratch.file('cni'))}
    conf_dir = ${JSON.stringify(scratch.file('cni'))}
`
}`;
}

/** A registry of its own on loopback; its log tells what was fetched. */
export class Registry implements AsyncDisposable {
  private constructor(
    readonly address: string,
    private readonly daemon: DaemonProcess,
  ) {}

  static async start(scratch: Scratch): Promise<Registry> {
    const port = await freePort();
    const address = `127.0.0.1:${port}`;
    const config = scratch.file('registry.yml');
    writeFileSync(
      config,
      `version: 0.1
log: { accesslog: { disabled: false }, level: info }
storage: { filesystem: { rootdirectory: ${JSON.stringify(scratch.file('registry'))} }, delete: { enabled: true } }
http: { addr: ${JSON.stringify(address)} }
`,
    );
    const log = scratch.file('registry.log');
    const daemon = await DaemonProcess.start({
      program: 'docker-registry',
      argv: ['serve', config],
      log,
      ready: () => existsSync(log) && readFileSync(log, 'utf8').includes('listening on'),
    });
    await connected(port);
    return new Registry(address, daemon);
  }

  /** Pushes a docker-archive; the layers are sent as they are. */
  push(archive: string, name: string): string {
    const reference = `${this.address}/${name}`;
    const argv = [
      'copy',
      '--dest-tls-verify=false',
      '--format',
      'v2s2',
      `docker-archive:${archive}`,
      `docker://${reference}`,
    ];
    execFileSync('skopeo', ['--insecure-policy', ...argv], { stdio: 'pipe' });
    return reference;
  }

  /** Digests of the blobs that were fetched so far, in order. */
  fetchedBlobs(): string[] {
    const lines = this.daemon.output().matchAll(/"GET \/v2\/[^ ]+\/blobs\/(sha256:[0-9a-f]{64})[^"]*" 200/g);
    return [...lines].map(([, digest]) => digest!);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.daemon[Symbol.asyncDispose]();
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function connected(port: number): Promise<void> {
  const socket = createConnection({ host: '127.0.0.1', port });
  await once(socket, 'connect');
  socket.destroy();
}

/** One line for every file below a directory: kind, mode, owner, size, times, link, attributes and content. */
export function treeFacts(directory: string): string[] {
  const script = `cd "$1" && find . -mindepth 1 \\( -type d -printf '%P d %m %U:%G\\n' \\) -o -printf '%P %y %m %U:%G %s %T@ %l %n\\n' | sort
    find . -type f -print0 | sort -z | xargs -0 -r sha256sum
    find . -mindepth 1 -print0 | sort -z | xargs -0 -r getfattr --no-dereference --match='^(security|user\\.[^o])' --dump --encoding=hex 2>/dev/null`;
  return execFileSync('bash', ['-c', script, 'bash', directory], { encoding: 'utf8', maxBuffer: 1 << 28 }).split('\n');
}

/** Bytes of a file, to tell that something was written. */
export const sizeOf = (path: string): number => statSync(path).size;
