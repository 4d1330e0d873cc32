import { setTimeout as sleep } from 'node:timers/promises';
import { silentLogger, StoreError, throwIfAborted, type Logger } from '@layerstore/core';
import { defaultPatience, type NetworkPatience, type RepositoryConfiguration } from '../configuration/configuration.js';
import { HttpTransport, type HttpAnswer } from './http-transport.js';
import { describeRoute, parseProxy, parseServer, type Route } from './route.js';
import { SourcesExhausted, UnacceptableAnswer, type SourceFailure } from './source-failure.js';

export type SourcesConfiguration = Pick<RepositoryConfiguration, 'servers' | 'proxies' | 'network'>;

/** Reads an answer to its end. @throws UnacceptableAnswer to have the next source asked */
export type Receive<T> = (answer: HttpAnswer, route: Route) => Promise<T>;

/** Answers of gateways that speak for a proxy or a server that is not there. */
const GATEWAY_STATUS: ReadonlySet<number> = new Set([407, 502, 503, 504]);

/**
 * The servers and proxies of a repository. A request goes to the first source that works; those that failed come last for a while.
 * All of them are equal in what they may send, because nothing of it is believed without its hash or signature.
 */
export class Sources implements Disposable {
  readonly patience: NetworkPatience;
  readonly #servers: readonly string[];
  readonly #proxies: readonly (URL | undefined)[];
  readonly #transport: HttpTransport;
  /** Server or proxy -> when it failed last. */
  readonly #failedAt = new Map<string, number>();

  /** @throws StoreError ERR_INVALID_ARGUMENT for servers and proxies that are no URLs */
  constructor(
    { servers, proxies, network }: SourcesConfiguration,
    private readonly logger: Logger = silentLogger,
  ) {
    this.patience = { ...defaultPatience, ...network };
    this.#servers = servers.map(parseServer);
    const groups = proxies === undefined || proxies.length === 0 ? [['DIRECT']] : proxies;
    this.#proxies = groups.flatMap((group) => shuffled(group).map(parseProxy));
    this.#transport = new HttpTransport(this.patience);
  }

  /**
   * Asks one source after the other for a path below the repository's root, until one gives what `receive` accepts. Whose answer is not
   * acceptable is asked once more past the caches on the way.
   * @throws SourcesExhausted; StoreError ERR_ABORTED; what `receive` throws
   */
  async request<T>(path: string, receive: Receive<T>, signal: AbortSignal | undefined): Promise<T> {
    const failures: SourceFailure[] = [];
    for (let round = 0; ; round += 1) {
      const result = await this.#round(path, receive, signal, failures);
      if (result !== undefined) return result.value;
      // Whoever answered will answer the same in a second.
      const isWorthWaiting = failures.every(({ kind }) => kind === 'silent') && round < this.patience.retries;
      if (!isWorthWaiting) throw new SourcesExhausted(failures);
      await this.#pause(round, signal);
    }
  }

  [Symbol.dispose](): void {
    this.#transport[Symbol.dispose]();
  }

  async #round<T>(
    path: string,
    receive: Receive<T>,
    signal: AbortSignal | undefined,
    failures: SourceFailure[],
  ): Promise<{ readonly value: T } | undefined> {
    const dead = new Set<string>();
    for (const route of this.#routes()) {
      if (dead.has(route.server) || dead.has(proxyKey(route.proxy))) continue;
      for (const caches of ['use', 'no-cache'] as const) {
        try {
          return { value: await this.#attempt(route, path, receive, { signal, caches }) };
        } catch (error) {
          throwIfAborted(signal);
          const failure = classify(error, route);
          failures.push(failure);
          this.logger.info(
            { path, source: describeRoute(route), kind: failure.kind, error: failure.error.message },
            'source failed',
          );
          if (failure.kind === 'unacceptable') continue;
          const guilty = guiltyOf(failure);
          if (guilty !== undefined) dead.add(guilty);
          if (guilty !== undefined && failure.kind === 'silent') this.#failedAt.set(guilty, Date.now());
          break;
        }
      }
    }
    return undefined;
  }

  async #attempt<T>(
    route: Route,
    path: string,
    receive: Receive<T>,
    options: { readonly signal: AbortSignal | undefined; readonly caches: 'use' | 'no-cache' },
  ): Promise<T> {
    const answer = await this.#transport.get(route, path, options);
    try {
      if (answer.status !== 200) throw new RefusedError(answer.status, route);
      return await receive(answer, route);
    } finally {
      // What was read to its end goes back to the pool; what was not would hold the connection.
      if (!answer.body.readableEnded) answer.body.destroy();
    }
  }

  /** Every way there is: sources that failed of late at the end. */
  #routes(): Route[] {
    const servers = this.#healthyFirst(this.#servers, (server) => server);
    const proxies = this.#healthyFirst(this.#proxies, proxyKey);
    return servers.flatMap((server) => proxies.map((proxy) => ({ server, proxy })));
  }

  #healthyFirst<T>(all: readonly T[], key: (one: T) => string): T[] {
    const now = Date.now();
    const isHealthy = (one: T): boolean =>
      now - (this.#failedAt.get(key(one)) ?? -Infinity) >= this.patience.resetAfter;
    return [...all.filter(isHealthy), ...all.filter((one) => !isHealthy(one))];
  }

  async #pause(round: number, signal: AbortSignal | undefined): Promise<void> {
    const longest = Math.min(this.patience.firstPause * 2 ** round, this.patience.longestPause);
    try {
      await sleep(longest * (0.5 + Math.random() / 2), undefined, signal === undefined ? {} : { signal });
    } catch (cause) {
      throw new StoreError('ERR_ABORTED', 'cancelled', { cause });
    }
  }
}

/** An answer that is none. Redirects too: they would let a server choose whom this machine talks to. */
class RefusedError extends Error {
  constructor(
    readonly status: number,
    { proxy }: Route,
  ) {
    super(status >= 300 && status < 400 ? `redirects are refused (HTTP ${status})` : `HTTP ${status}`);
    this.isGateway = proxy !== undefined && GATEWAY_STATUS.has(status);
  }
  readonly isGateway: boolean;
}

/** @throws the error itself, if no other source can help */
function classify(error: unknown, route: Route): SourceFailure {
  if (error instanceof UnacceptableAnswer) return { route, kind: 'unacceptable', error };
  if (error instanceof RefusedError) return { route, kind: error.isGateway ? 'silent' : 'refused', error };
  if (StoreError.is(error) || !isOfNetwork(error)) throw error;
  return { route, kind: 'silent', error };
}

/** Errors of sockets, names, TLS and HTTP all carry a code; a mistake of ours does not. */
function isOfNetwork(error: unknown): error is Error {
  return (
    error instanceof AggregateError || (error instanceof Error && 'code' in error && typeof error.code === 'string')
  );
}

/**
 * Whom not to ask again for the same thing. A connection that fails is one to the proxy, if there is one; when a proxy reports that it cannot reach the
 * server, either may be at fault.
 */
function guiltyOf({ route, kind, error }: SourceFailure): string | undefined {
  if (kind === 'refused' || route.proxy === undefined) return route.server;
  return error instanceof RefusedError ? undefined : proxyKey(route.proxy);
}

const proxyKey = (proxy: URL | undefined): string => (proxy === undefined ? 'DIRECT' : `proxy ${proxy.href}`);

/** Clients of one site share the load of its proxies. */
function shuffled<T>(list: readonly T[]): T[] {
  return list
    .map((value) => ({ value, order: Math.random() }))
    .sort((one, other) => one.order - other.order)
    .map(({ value }) => value);
}
