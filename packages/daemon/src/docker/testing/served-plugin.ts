/** A plugin that is served in this process, and a client that speaks to it as engines do. */
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { Agent, request, type ClientRequest, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mountsBelow, readMountTable } from '@layerstore/linux';
import { RequestIds } from '../../observability/request-ids.js';
import { serverLogger } from '../../observability/server-logger.js';
import { ServerMetrics } from '../../observability/server-metrics.js';
import { DockerPlugin, type DockerPluginOptions } from '../serve.js';

export interface Answer {
  readonly status: number;
  readonly body: Buffer;
  /** False when the connection broke before the answer had come to its end. */
  readonly complete: boolean;
}

/** What an engine sees of the plugin. */
export class PluginClient implements Disposable {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: Infinity });

  constructor(readonly socket: string) {}

  /** The reply of a call that must succeed. */
  async call(method: string, body: object = {}): Promise<Record<string, unknown>> {
    const { status, body: reply } = await this.post(`GraphDriver.${method}`, Buffer.from(JSON.stringify(body)));
    if (status !== 200) throw new Error(`${method}: ${String(status)} ${reply.toString()}`);
    return JSON.parse(reply.toString()) as Record<string, unknown>;
  }

  /** The error of a call that must fail. */
  async refusal(method: string, body: object | Buffer): Promise<{ status: number; error: string }> {
    const bytes = Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
    return refused(await this.post(`GraphDriver.${method}`, bytes));
  }

  async diff(id: string, parent = ''): Promise<Answer> {
    return this.post('GraphDriver.Diff', Buffer.from(JSON.stringify({ ID: id, Parent: parent })));
  }

  async applyDiff(id: string, archive: Buffer, parent = ''): Promise<Answer> {
    return this.post(`GraphDriver.ApplyDiff?id=${id}&parent=${parent}`, archive, 'chunked');
  }

  async post(path: string, body: Buffer, encoding: 'length' | 'chunked' = 'length'): Promise<Answer> {
    const outgoing = this.begin(path, encoding === 'length' ? { 'content-length': body.length } : {});
    outgoing.end(body);
    return answerOf(outgoing);
  }

  /** A request whose body is sent by the caller. */
  begin(path: string, headers: Record<string, string | number> = {}): ClientRequest {
    return request({
      socketPath: this.socket,
      path: `/${path}`,
      method: 'POST',
      agent: this.#agent,
      headers: { host: '', accept: 'application/vnd.docker.plugins.v1.2+json', ...headers },
    });
  }

  /** A connection for what no HTTP client sends. */
  async connect(): Promise<Socket> {
    const socket = connect(this.socket);
    await once(socket, 'connect');
    return socket;
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}

export async function answerOf(outgoing: ClientRequest): Promise<Answer> {
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of response) chunks.push(chunk as Buffer);
  } catch {
    return { status: response.statusCode ?? 0, body: Buffer.concat(chunks), complete: false };
  }
  return { status: response.statusCode ?? 0, body: Buffer.concat(chunks), complete: response.complete };
}

export function refused({ status, body }: Answer): { status: number; error: string } {
  const { Err } = JSON.parse(body.toString()) as { readonly Err?: string };
  return { status, error: Err ?? '' };
}

/** A directory, the plugin in it, and its client. Disposing of it unmounts and deletes everything. */
export class ServedPlugin implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'layerstore-dp-'));
  readonly metrics = new ServerMetrics('docker');
  readonly logged: Record<string, unknown>[] = [];
  readonly client = new PluginClient(join(this.directory, 'p.sock'));
  #plugin: DockerPlugin | undefined;

  private constructor(private readonly driver: string) {}

  static async start(driver: string): Promise<ServedPlugin> {
    const served = new ServedPlugin(driver);
    await served.serve();
    return served;
  }

  /** The same with a home that the engine has named. */
  static async initialised(driver: string): Promise<ServedPlugin> {
    const served = await ServedPlugin.start(driver);
    await served.client.call('Init', { Home: served.home, Opts: null });
    return served;
  }

  get home(): string {
    return join(this.directory, 'home');
  }

  get plugin(): DockerPlugin {
    if (this.#plugin === undefined) throw new Error('the plugin is not served');
    return this.#plugin;
  }

  options(): DockerPluginOptions {
    const logger = serverLogger({
      server: 'docker',
      level: 'debug',
      destination: { write: (line) => void this.logged.push(JSON.parse(line) as Record<string, unknown>) },
    });
    return {
      socket: this.client.socket,
      driver: this.driver,
      stateDirectory: join(this.directory, 'state'),
      observation: { logger, metrics: new ServerMetrics('docker'), requestIds: new RequestIds() },
    };
  }

  async serve(): Promise<void> {
    this.#plugin = await DockerPlugin.start(this.options());
  }

  async stop(): Promise<void> {
    const plugin = this.#plugin;
    this.#plugin = undefined;
    await plugin?.[Symbol.asyncDispose]();
  }

  mounts(): string[] {
    return mountsBelow(readMountTable(), this.directory).map((entry) => entry.mountPoint);
  }

  /** A file of the view that `Get` gives. */
  async inView<Result>(id: string, use: (view: string) => Result): Promise<Result> {
    const { Dir } = await this.client.call('Get', { ID: id });
    try {
      return use(Dir as string);
    } finally {
      await this.client.call('Put', { ID: id });
    }
  }

  async readFile(id: string, name: string): Promise<string> {
    return this.inView(id, (view) => readFileSync(join(view, name), 'utf8'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#plugin !== undefined && this.mounts().length > 0) await this.client.call('Cleanup');
    this.client[Symbol.dispose]();
    await this.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
