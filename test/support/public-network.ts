/** A network namespace whose loopback has public addresses: a public registry, with nothing sent to the Internet. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { commandPath, type Ended } from './command.js';
import type { TestCertificate } from './docker-registry.js';

/** Of documentation (RFC 5737) and of the local network (RFC 1918). */
export const addresses = { first: '198.51.100.7', second: '203.0.113.9', local: '10.11.12.13' } as const;

export interface Answer {
  /** Regular expression on the path. */
  readonly match: string;
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer | string;
  /** The challenge for requests without `Authorization`. */
  readonly wants?: string;
}

export interface ServerRequest {
  readonly method: string;
  readonly url: string;
  readonly authorization: string | null;
}

export class PublicNetwork implements AsyncDisposable {
  private readonly servers: ChildProcess[] = [];
  private constructor(private readonly holder: ChildProcess) {}

  static async open(): Promise<PublicNetwork> {
    const setUp = Object.values(addresses).map((address) => `ip addr add ${address}/32 dev lo`);
    const script = ['ip link set lo up', ...setUp, 'echo ready', 'exec sleep 600'].join(' && ');
    const holder = spawn('unshare', ['--net', 'sh', '-c', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(holder.stdout, 'data');
    return new PublicNetwork(holder);
  }

  /** Starts a program inside. */
  spawn(program: string, ...argv: readonly string[]): ChildProcess {
    return spawn('nsenter', ['--net', '--target', String(this.holder.pid), program, ...argv], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }

  /** A server with fixed answers. @returns what it was asked so far */
  async serve(
    address: string,
    port: number,
    answers: readonly Answer[],
    tls?: TestCertificate,
  ): Promise<readonly ServerRequest[]> {
    const requests: ServerRequest[] = [];
    const encoded = answers.map((answer) => ({ ...answer, body: Buffer.from(answer.body ?? '').toString('base64') }));
    const program = fileURLToPath(new URL('answering-server.mjs', import.meta.url));
    const server = this.spawn(process.execPath, program, JSON.stringify({ address, port, tls, answers: encoded }));
    this.servers.push(server);
    let rest = '';
    await new Promise<void>((resolve) => {
      server.stdout?.on('data', (chunk: Buffer) => {
        const lines = (rest + chunk.toString()).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) {
          const said = JSON.parse(line) as ServerRequest | 'listening';
          if (said === 'listening') resolve();
          else requests.push(said);
        }
      });
    });
    return requests;
  }

  /** Runs `layerstore` inside. */
  async layerstore(root: string, ...argv: readonly string[]): Promise<Ended> {
    const child = this.spawn(process.execPath, commandPath, '--root', root, '--progress', 'none', ...argv);
    let stdout = '';
    let stderr = '';
    child.stdout?.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, stdout, stderr };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of [...this.servers, this.holder]) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    }
  }
}
