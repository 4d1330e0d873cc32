import { once } from 'node:events';
import { Agent as HttpAgent, request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { Readable } from 'node:stream';
import { throwIfAborted } from '@layerstore/core';
import { checkLiteral, lookupWithin, zoneOf, type AddressZone } from './address-zone.js';
import { certificatesFor, type TlsFiles } from './certificates.js';
import { connectionFailure } from './connection-failure.js';
import type { RegistryOptions } from './options.js';
import { proxyFor } from './proxies.js';

/** A body that can be sent again: a retry opens it anew. */
export interface SentBody {
  readonly length: number;
  readonly type: string;
  open(): Buffer | Readable;
}

export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: SentBody | undefined;
  readonly signal?: AbortSignal | undefined;
  /** The innermost addresses that may be connected to. */
  readonly innermost: AddressZone;
  /** An unverified certificate will do. */
  readonly insecure: boolean;
}

/** The body has to be read or destroyed: it holds the connection. */
export interface HttpResponse {
  readonly status: number;
  readonly url: URL;
  readonly body: IncomingMessage;
  /** Of the address that answered; `public` behind a proxy. */
  readonly zone: AddressZone;
  header(name: string): string | undefined;
}

type AnyAgent = HttpAgent | HttpsAgent;

/** Sends single requests and keeps connections open for the next ones; no redirects, no retries, no authentication. */
export class Transport implements Disposable {
  private readonly agents = new Map<string, Promise<AnyAgent>>();
  private readonly certificates = new Map<string, TlsFiles>();

  /** @param stall milliseconds without a byte after which a connection is given up */
  constructor(
    private readonly options: RegistryOptions,
    private readonly stall: number,
  ) {}

  /** @throws StoreError ERR_REGISTRY_UNREACHABLE, ERR_UNSAFE_TRANSFER, ERR_ABORTED */
  async send(request: HttpRequest): Promise<HttpResponse> {
    const { url, signal, body } = request;
    throwIfAborted(signal);
    const proxy = proxyFor(url, this.options.proxies);
    checkLiteral(url.hostname, request.innermost);
    const sent = await this.open(request, proxy);
    try {
      const answered = once(sent, 'response', signal === undefined ? {} : { signal });
      if (body === undefined) sent.end();
      else transmit(sent, body);
      const [response] = (await answered) as [IncomingMessage];
      sent.removeAllListeners('timeout').on('timeout', () => response.destroy(new StallError(this.stall)));
      return describe(response, url, proxy);
    } catch (cause) {
      sent.destroy();
      throwIfAborted(signal);
      throw connectionFailure(cause, url);
    }
  }

  [Symbol.dispose](): void {
    for (const agent of this.agents.values()) void agent.then((opened) => opened.destroy());
    this.agents.clear();
  }

  private async open(request: HttpRequest, proxy: URL | undefined): Promise<ClientRequest> {
    const { url, method, headers, body, signal } = request;
    const secure = url.protocol === 'https:';
    const agent = await this.agent(secure, proxy, request.innermost);
    const sent = (secure ? httpsRequest : httpRequest)(url, {
      method,
      agent,
      timeout: this.stall,
      headers: {
        'user-agent': this.options.userAgent ?? 'layerstore',
        'accept-encoding': 'identity',
        ...headers,
        ...(body === undefined ? {} : { 'content-length': String(body.length), 'content-type': body.type }),
      },
      // Behind a proxy the names are the proxy's to look up.
      ...(proxy === undefined ? { lookup: lookupWithin(request.innermost) } : {}),
      ...(signal === undefined ? {} : { signal }),
      ...(secure ? this.tlsOptions(url, request.insecure) : {}),
    });
    sent.on('timeout', () => sent.destroy(new StallError(this.stall)));
    // The one who waits hears of it; what comes after that has no reader.
    sent.on('error', () => undefined);
    return sent;
  }

  private agent(secure: boolean, proxy: URL | undefined, innermost: AddressZone): Promise<AnyAgent> {
    const key = `${secure} ${proxy?.href ?? ''} ${innermost}`;
    const known = this.agents.get(key);
    if (known !== undefined) return known;
    const made = makeAgent(secure, proxy);
    this.agents.set(key, made);
    return made;
  }

  /** Without verification no authority is needed, and reading all of a system's takes as long as many a request. */
  private tlsOptions(url: URL, insecure: boolean): TlsFiles & { rejectUnauthorized: boolean } {
    const { ca, ...client } = this.certificatesOf(url);
    return { ...client, ...(ca === undefined || insecure ? {} : { ca }), rejectUnauthorized: !insecure };
  }

  private certificatesOf(url: URL): TlsFiles {
    const host = url.port === '' ? [`${url.hostname}:443`, url.hostname] : [url.host];
    const key = url.host;
    const known = this.certificates.get(key);
    if (known !== undefined) return known;
    const files = certificatesFor(host, this.options);
    this.certificates.set(key, files);
    return files;
  }
}

/** A connection on which nothing moved. */
export class StallError extends Error {
  readonly code = 'ETIMEDOUT';
  constructor(milliseconds: number) {
    super(`nothing came for ${milliseconds / 1000} s`);
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

function transmit(sent: ClientRequest, body: SentBody): void {
  const content = body.open();
  if (Buffer.isBuffer(content)) {
    sent.end(content);
    return;
  }
  content.on('error', (error) => sent.destroy(error));
  // A registry that refuses the body closes the connection: the file is not read on.
  sent.on('close', () => content.destroy());
  content.pipe(sent);
}

function describe(response: IncomingMessage, url: URL, proxy: URL | undefined): HttpResponse {
  const { remoteAddress } = response.socket;
  return {
    status: response.statusCode ?? 0,
    url,
    body: response,
    zone: proxy !== undefined || remoteAddress === undefined ? 'public' : zoneOf(remoteAddress),
    header: (name) => {
      const value = response.headers[name];
      return Array.isArray(value) ? value.join(', ') : value;
    },
  };
}
