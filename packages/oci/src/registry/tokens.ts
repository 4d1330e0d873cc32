import { StoreError } from '@layerstore/core';
import * as v from 'valibot';
import type { Challenge } from './challenge.js';
import type { Credentials } from './options.js';

/** How a server that hands out tokens is asked: through the client's own connections, redirects and retries. */
export type AskTokenServer = (request: {
  readonly method: 'GET' | 'POST';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly form?: string;
}) => Promise<Buffer>;

export interface Token {
  readonly text: string;
  /** Milliseconds since 1970. */
  readonly expires: number;
}

const tokenShape = v.object({
  token: v.optional(v.nullable(v.string())),
  access_token: v.optional(v.nullable(v.string())),
  expires_in: v.optional(v.nullable(v.number())),
});

/** The least that a token is good for, where nothing is said (distribution's token specification, "Token Response Fields"). */
const DEFAULT_LIFE = 60;
const LONGEST_LIFE = 24 * 3600;
/** What the last request with a token may take before it reaches the registry, in seconds. */
const MARGIN = 5;

/**
 * Asks for a token as a registry's challenge says (distribution.github.io, "Token Authentication Specification" and "OAuth 2").
 * @throws StoreError ERR_UNSAFE_TRANSFER, ERR_REGISTRY_DENIED, ERR_REGISTRY_FAILED
 */
export async function fetchToken(
  challenge: Challenge,
  scopes: readonly string[],
  credentials: Credentials | undefined,
  ask: AskTokenServer,
): Promise<Token> {
  const realm = challenge.parameters.get('realm') ?? '';
  if (!URL.canParse(realm)) {
    throw new StoreError('ERR_REGISTRY_FAILED', 'the registry names no server that hands out tokens', {
      subject: realm,
    });
  }
  const url = new URL(realm);
  const service = challenge.parameters.get('service');
  const asked = Date.now();
  const answer =
    credentials?.kind === 'identity-token'
      ? await ask({
          method: 'POST',
          url,
          headers: { 'content-type': 'application/x-www-form-urlencoded' },
          form: formOf({
            grant_type: 'refresh_token',
            refresh_token: credentials.token,
            client_id: 'layerstore',
            ...(service === undefined ? {} : { service }),
            scope: scopes.join(' '),
          }),
        })
      : await ask({ method: 'GET', url: withQuery(url, service, scopes, credentials), headers: basic(credentials) });
  return parseToken(answer, asked, url);
}

/** `Authorization: Basic`; nothing for other credentials. */
export function basic(credentials: Credentials | undefined): Record<string, string> {
  if (credentials?.kind !== 'password') return {};
  return {
    authorization: `Basic ${Buffer.from(`${credentials.user}:${credentials.password}`).toString('base64')}`,
  };
}

function withQuery(
  realm: URL,
  service: string | undefined,
  scopes: readonly string[],
  credentials: Credentials | undefined,
): URL {
  const url = new URL(realm);
  if (service !== undefined) url.searchParams.set('service', service);
  for (const scope of scopes) url.searchParams.append('scope', scope);
  if (credentials?.kind === 'password') url.searchParams.set('account', credentials.user);
  return url;
}

function formOf(fields: Readonly<Record<string, string>>): string {
  return new URLSearchParams(fields).toString();
}

function parseToken(answer: Buffer, asked: number, url: URL): Token {
  const wrong = (cause?: unknown): StoreError =>
    new StoreError('ERR_REGISTRY_FAILED', 'the answer holds no token', { subject: url.host, cause });
  let document: unknown;
  try {
    document = JSON.parse(answer.toString('utf8'));
  } catch (cause) {
    throw wrong(cause);
  }
  const result = v.safeParse(tokenShape, document);
  const text = result.success ? (result.output.token ?? result.output.access_token ?? '') : '';
  // It becomes a header: anything else would end it.
  if (!result.success || !/^[\x21-\x7e]+$/.test(text)) throw wrong();
  const stated = result.output.expires_in ?? DEFAULT_LIFE;
  const life = Math.min(Math.max(stated, DEFAULT_LIFE), LONGEST_LIFE) - MARGIN;
  return { text, expires: asked + life * 1000 };
}
