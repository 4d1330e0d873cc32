/** A server that hands out tokens which docker-registry accepts (distribution's "Token Authentication Specification" and "OAuth 2"). */
import { createPrivateKey, createSign, randomUUID, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestCertificate } from './docker-registry.js';

export interface TokenRequest {
  readonly method: string;
  readonly scopes: readonly string[];
  readonly authorization: string | undefined;
  readonly form: URLSearchParams;
}

export interface TokenServerOptions {
  readonly user: string;
  readonly password: string;
  /** A refresh token that stands for both. */
  readonly identityToken?: string;
  /** Whether everybody may pull; default true. */
  readonly anonymousPull?: boolean;
  /** Seconds that a token is said to live; default 300. */
  readonly lifetime?: number;
}

export class TokenServer implements AsyncDisposable {
  readonly service = 'test-registry';
  readonly issuer = 'test-issuer';
  readonly requests: TokenRequest[] = [];
  private readonly key;
  private readonly x5c;

  private constructor(
    private readonly server: Server,
    private readonly files: TestCertificate,
    private readonly options: TokenServerOptions,
  ) {
    this.key = createPrivateKey(readFileSync(files.key));
    this.x5c = [new X509Certificate(readFileSync(files.certificate)).raw.toString('base64')];
    server.on('request', (request, response) => void this.answer(request, response));
  }

  static async start(files: TestCertificate, options: TokenServerOptions): Promise<TokenServer> {
    const server = createServer();
    const started = new TokenServer(server, files, options);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return started;
  }

  get realm(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/token`;
  }

  get certificate(): string {
    return this.files.certificate;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '', this.realm);
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const form = new URLSearchParams(Buffer.concat(chunks).toString());
    const scopes = request.method === 'POST' ? (form.get('scope') ?? '').split(' ') : url.searchParams.getAll('scope');
    const { authorization } = request.headers;
    this.requests.push({ method: request.method ?? '', scopes, authorization, form });
    const known = this.knows(authorization, form);
    if (known === 'wrong') {
      response
        .writeHead(401)
        .end(JSON.stringify({ errors: [{ code: 'UNAUTHORIZED', message: 'wrong user name or password' }] }));
      return;
    }
    const access = scopes.flatMap((scope) => {
      const [type = '', name = '', actions = ''] = scope.split(':');
      const asked = actions.split(',');
      const given =
        known === 'known' ? asked : this.options.anonymousPull === false ? [] : asked.filter((one) => one === 'pull');
      return given.length === 0 ? [] : [{ type, name, actions: given }];
    });
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ token: this.sign(access), expires_in: this.options.lifetime ?? 300 }));
  }

  private knows(authorization: string | undefined, form: URLSearchParams): 'known' | 'nobody' | 'wrong' {
    const { user, password, identityToken } = this.options;
    if (form.get('grant_type') === 'refresh_token')
      return form.get('refresh_token') === identityToken ? 'known' : 'wrong';
    if (authorization === undefined) return 'nobody';
    return authorization === `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` ? 'known' : 'wrong';
  }

  private sign(access: unknown): string {
    const now = Math.floor(Date.now() / 1000);
    const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const head = part({ typ: 'JWT', alg: 'RS256', x5c: this.x5c });
    const claims = {
      iss: this.issuer,
      sub: '',
      aud: this.service,
      exp: now + 600,
      nbf: now - 60,
      iat: now,
      jti: randomUUID(),
      access,
    };
    const signed = `${head}.${part(claims)}`;
    return `${signed}.${createSign('RSA-SHA256').update(signed).sign(this.key).toString('base64url')}`;
  }
}
