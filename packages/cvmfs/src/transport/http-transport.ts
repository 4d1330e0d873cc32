import { once } from 'node:events';
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { throwIfAborted } from '@layerstore/core';
import type { NetworkPatience } from '../configuration/configuration.js';
import type { Route } from './route.js';

type AnyAgent = HttpAgent | HttpsAgent;

export interface HttpAnswer {
  readonly status: number;
  /** To be read or destroyed: it holds the connection. */
  readonly body: IncomingMessage;
  /** Bytes that the server announces; undefined where it does not. */
  readonly length: number | undefined;
}

export interface GetOptions {
  readonly signal: AbortSignal | undefined;
  /** `no-cache`: caches on the way shall ask the server again. */
  readonly caches: 'use' | 'no-cache';
}

/** Sends single GET requests and keeps connections open for the next ones; no redirects, no retries. */
export class HttpTransport implements Disposable {
  readonly #agents = new Map<string, Promise<AnyAgent>>();

  constructor(private readonly patience: NetworkPatience) {}

  /** @throws what Node reports of a connection; StoreError ERR_ABORTED */
  async get(route: Route, path: string, { signal, caches }: GetOptions): Promise<HttpAnswer> {
    throwIfAborted(signal);
    const url = new URL(`${route.server}/${path}`);
    const secure = url.protocol === 'https:';
    const sent = (secure ? httpsRequest : httpRequest)(url, {
      agent: await this.#agent(secure, route.proxy),
      headers: {
        'user-agent': 'cvmfs layerstore',
        'accept-encoding': 'identity',
        ...(caches === 'no-cache' ? { 'cache-control': 'no-cache', pragma: 'no-cache' } : {}),
      },
      ...(signal === undefined ? {} : { signal }),
    });
    // The one who waits hears of it; what comes after that has no reader.
    sent.on('error', () => undefined);
    const timeout = route.proxy === undefined ? this.patience.directTimeout : this.patience.timeout;
    // A kept connection has counted what earlier answers had.
    let before = 0;
    sent.once('socket', ({ bytesRead }) => (before = bytesRead));
    const pace = new Pace(timeout, this.patience.lowSpeedLimit, () => (sent.socket?.bytesRead ?? before) - before);
    pace.watch((error) => sent.destroy(error));
    sent.once('close', () => pace.end());
    const answered = once(sent, 'response');
    sent.end();
    const [body] = (await answered) as [IncomingMessage];
    // What waits in the buffer is for the reader to take: the other side is not to blame.
    pace.watch((error) => body.readableLength === 0 && body.destroy(error));
    body.once('close', () => pace.end());
    const length = Number(body.headers['content-length'] ?? NaN);
    return { status: body.statusCode ?? 0, body, length: Number.isSafeInteger(length) ? length : undefined };
  }

  [Symbol.dispose](): void {
    for (const agent of this.#agents.values()) void agent.then((opened) => opened.destroy());
    this.#agents.clear();
  }

  #agent(secure: boolean, proxy: URL | undefined): Promise<AnyAgent> {
    const key = `${secure} ${proxy?.href ?? ''}`;
    let agent = this.#agents.get(key);
    if (agent === undefined) {
      agent = makeAgent(secure, proxy);
      this.#agents.set(key, agent);
    }
    return agent;
  }
}

/** A transfer on which too little moves. */
export class TooSlowError extends Error {
  readonly code = 'ETIMEDOUT';
}

/** Watches that a transfer moves: a server that sends a byte now and then holds a reader up as much as one that is silent. */
class Pace {
  #seen = 0;
  #timer: NodeJS.Timeout | undefined;

  /** @param interval milliseconds; @param speed bytes per second; @param received bytes on the connection so far */
  constructor(
    private readonly interval: number,
    private readonly speed: number,
    private readonly received: () => number,
  ) {}

  watch(giveUp: (error: Error) => void): void {
    this.end();
    const enough = (this.speed * this.interval) / 1000;
    this.#timer = setInterval(() => {
      // What came while this thread was busy is still to be counted.
      setImmediate(() => {
        if (this.#timer === undefined) return;
        const moved = this.received() - this.#seen;
        this.#seen += moved;
        if (moved < enough)
          giveUp(new TooSlowError(`less than ${Math.ceil(enough)} bytes in ${this.interval / 1000} s`));
      });
    }, this.interval);
  }

  end(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

async function makeAgent(secure: boolean, proxy: URL | undefined): Promise<AnyAgent> {
  if (proxy === undefined) return new (secure ? HttpsAgent : HttpAgent)({ keepAlive: true });
  if (secure) {
    const { HttpsProxyAgent } = await import('https-proxy-agent');
    return new HttpsProxyAgent(proxy, { keepAlive: true });
  }
  const { HttpProxyAgent } = await import('http-proxy-agent');
  return new HttpProxyAgent(proxy, { keepAlive: true });
}
