import { hasCode, StoreError } from '@layerstore/core';
import type { Reference } from '../reference.js';
import { Authorizer } from './authorizer.js';
import { Backoff, type OnPause } from './backoff.js';
import { dropBody, readBody } from './body.js';
import { isPassing, isRefused, suggestsPlainHttp } from './connection-failure.js';
import { endpointOf, type Endpoint } from './endpoint.js';
import { defaultPatience, type Patience, type RegistryOptions } from './options.js';
import { isRedirect, REDIRECT_LIMIT, redirectTarget, refuseDowngrade, tooManyRedirects } from './redirect.js';
import { denied, readRefusal, refusalError } from './refusal.js';
import type { AskTokenServer } from './tokens.js';
import { Transport, type HttpRequest, type HttpResponse, type SentBody } from './transport.js';
import type { AddressZone } from './address-zone.js';

/** What may be done in the repository, or read from another one of the same registry. */
export type Scope = 'pull' | 'push' | { readonly alsoFrom: string };

export interface Call {
  readonly method: HttpRequest['method'];
  /** Below `/v2/<repository>/`, or where the registry has led to (`Location`). */
  readonly path: string | URL;
  readonly scope: Scope;
  /** Statuses that are an answer; every other one is an error. */
  readonly accept: readonly number[];
  /** Leads errors: the reference, or a blob of it. */
  readonly subject: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: SentBody;
  /** Default `several`: as many as the options say. `once` for what cannot be sent again. */
  readonly attempts?: 'several' | 'also-when-refused' | 'once';
  readonly signal?: AbortSignal | undefined;
  readonly onPause?: OnPause | undefined;
}

/** A token server's answer holds a token, perhaps of a few kB. */
const TOKEN_LIMIT = 1024 * 1024;

/** One repository of one registry: sends requests with all that takes (authentication, retries, redirects), and nothing unsafe. */
export class Repository implements Disposable {
  private readonly transport: Transport;
  private readonly authorizer: Authorizer;
  private base: Promise<URL> | undefined;
  /** Of the address at which the registry itself was met. */
  private zone: AddressZone = 'public';

  private constructor(
    /** Registry as in references. */
    readonly domain: string,
    readonly path: string,
    private readonly endpoint: Endpoint,
    readonly patience: Patience,
    options: RegistryOptions,
  ) {
    this.transport = new Transport(options, patience.stall);
    this.authorizer = new Authorizer(
      async () => options.credentials?.find(domain, path),
      (request) => this.askTokenServer(request),
    );
  }

  /**
   * Nothing is sent yet.
   * @throws StoreError ERR_REGISTRY_DENIED for a blocked registry, ERR_INVALID_ARGUMENT
   */
  static async open(
    { domain, path }: Pick<Reference, 'domain' | 'path'>,
    options: RegistryOptions,
  ): Promise<Repository> {
    const endpoint = await endpointOf(domain, path, options);
    return new Repository(domain, path, endpoint, { ...defaultPatience, ...options.patience }, options);
  }

  get name(): string {
    return `${this.domain}/${this.path}`;
  }

  /**
   * Sends a request until it is answered with an accepted status. The body of the answer is the caller's to read or drop.
   * @throws StoreError ERR_REGISTRY_UNREACHABLE, ERR_REGISTRY_DENIED, ERR_REGISTRY_FAILED, ERR_IMAGE_NOT_FOUND (404), ERR_UNSAFE_TRANSFER,
   *   ERR_ABORTED
   */
  async call(call: Call): Promise<HttpResponse> {
    const url =
      typeof call.path === 'string'
        ? new URL(`/v2/${this.path}/${call.path}`, await this.baseUrl(call.signal))
        : call.path;
    return await this.persist(call, () => this.authorized(call, url));
  }

  [Symbol.dispose](): void {
    this.transport[Symbol.dispose]();
  }

  /** Registries that may do without TLS are asked for it first, once. */
  private baseUrl(signal: AbortSignal | undefined): Promise<URL> {
    this.base ??= this.decideScheme(signal).catch((error: unknown) => {
      this.base = undefined;
      throw error;
    });
    return this.base;
  }

  private async decideScheme(signal: AbortSignal | undefined): Promise<URL> {
    const secure = new URL(`https://${this.endpoint.host}`);
    if (!this.endpoint.insecure) return secure;
    try {
      const url = new URL('/v2/', secure);
      dropBody(
        await this.transport.send({ method: 'GET', url, headers: {}, signal, innermost: 'own', insecure: true }),
      );
      return secure;
    } catch (error) {
      if (!suggestsPlainHttp(error)) throw error;
      return new URL(`http://${this.endpoint.host}`);
    }
  }

  private async persist(
    call: Pick<Call, 'accept' | 'attempts' | 'signal' | 'onPause' | 'subject'>,
    attempt: () => Promise<HttpResponse>,
  ): Promise<HttpResponse> {
    const backoff = new Backoff(this.patience, call.signal, call.onPause);
    const mayRepeat = (): boolean => call.attempts !== 'once' && !backoff.isExhausted;
    for (;;) {
      let response: HttpResponse;
      try {
        response = await attempt();
      } catch (error) {
        const isWorthIt = isPassing(error) || (call.attempts === 'also-when-refused' && isRefused(error));
        if (!isWorthIt || !mayRepeat()) throw about(error, call.subject);
        await backoff.pause((error as Error).message, undefined);
        continue;
      }
      if (call.accept.includes(response.status)) return response;
      const refusal = await readRefusal(response, call.signal);
      if (!isBusy(refusal.status) || !mayRepeat()) throw refusalError(refusal, call.subject, this.domain);
      await backoff.pause(`the registry says: ${refusal.words}`, refusal.retryAfter).catch((error: unknown) => {
        throw about(error, call.subject);
      });
    }
  }

  private async authorized(call: Call, url: URL): Promise<HttpResponse> {
    const scopes = scopesOf(this.path, call.scope);
    const base = await this.baseUrl(call.signal);
    // An upload may be led to another host, which gets the bytes and nothing else.
    const isOwn = url.origin === base.origin;
    if (!isOwn) refuseDowngrade(url, base, this.endpoint.insecure);
    const presented = isOwn ? await this.authorizer.header(scopes) : undefined;
    const response = await this.follow(call, url, presented);
    if (response.status !== 401 || response.url.origin !== base.origin) return response;
    const offered = response.header('www-authenticate');
    const refusal = await readRefusal(response, call.signal);
    if (!(await this.authorizer.learn(offered, scopes, presented)))
      throw denied(refusal.words, call.subject, this.domain);
    return await this.follow(call, url, await this.authorizer.header(scopes));
  }

  /** Follows redirects of what is read. `authorization` goes to the first server's origin only. */
  private async follow(
    call: Pick<Call, 'method' | 'headers' | 'body' | 'signal'>,
    first: URL,
    authorization: string | undefined,
  ): Promise<HttpResponse> {
    const base = await this.baseUrl(call.signal);
    const registry = new URL(base);
    let url = first;
    for (let redirects = 0; redirects <= REDIRECT_LIMIT; redirects += 1) {
      const isRegistry = url.origin === registry.origin;
      const response = await this.transport.send({
        method: call.method,
        url,
        headers: {
          ...call.headers,
          ...(authorization !== undefined && url.origin === first.origin ? { authorization } : {}),
        },
        body: call.body,
        signal: call.signal,
        innermost: isRegistry ? 'own' : this.zone,
        insecure: isRegistry && this.endpoint.insecure,
      });
      if (isRegistry) this.zone = response.zone;
      const isRead = call.method === 'GET' || call.method === 'HEAD';
      if (!isRead || !isRedirect(response.status)) return response;
      dropBody(response);
      url = redirectTarget(response.header('location'), url, first, this.endpoint.insecure);
    }
    throw tooManyRedirects(first);
  }

  private readonly askTokenServer: AskTokenServer = async ({ method, url, headers, form }) => {
    refuseDowngrade(url, await this.baseUrl(undefined), this.endpoint.insecure);
    const { authorization, ...others } = headers;
    const body: SentBody | undefined =
      form === undefined
        ? undefined
        : { length: Buffer.byteLength(form), type: 'application/x-www-form-urlencoded', open: () => Buffer.from(form) };
    const call = {
      method,
      headers: others,
      accept: [200],
      subject: this.name,
      ...(body === undefined ? {} : { body }),
    };
    const response = await this.persist(call, () => this.follow(call, url, authorization));
    return await readBody(response, `token for ${this.name}`, { limit: TOKEN_LIMIT, within: this.patience.stall });
  };
}

/** Too many requests, or a failure that may be over soon. */
function isBusy(status: number): boolean {
  return status === 429 || status === 408 || (status >= 500 && status !== 501 && status !== 505);
}

function scopesOf(path: string, scope: Scope): string[] {
  if (scope === 'pull') return [`repository:${path}:pull`];
  const push = `repository:${path}:pull,push`;
  return scope === 'push' ? [push] : [push, `repository:${scope.alsoFrom}:pull`];
}

/** The reference that was asked for leads; the host stays where the connection itself failed. */
function about(error: unknown, subject: string): unknown {
  if (!hasCode(error, 'ERR_REGISTRY_UNREACHABLE', 'ERR_REGISTRY_FAILED', 'ERR_UNSAFE_TRANSFER')) return error;
  if (error.subject === subject) return error;
  return new StoreError(error.code, error.message, {
    subject,
    cause: error,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  });
}
