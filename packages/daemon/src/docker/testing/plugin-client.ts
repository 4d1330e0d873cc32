/** A client that speaks to the plugin as engines do. */
import { once } from 'node:events';
import { Agent, request, type ClientRequest, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';

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
