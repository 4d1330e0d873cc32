import { StoreError } from '@layerstore/core';
import { parseChallenges, type Challenge } from './challenge.js';
import type { Credentials } from './options.js';
import { basic, fetchToken, type AskTokenServer, type Token } from './tokens.js';

/**
 * What one registry wants to see in `Authorization`. The first refused request shows how it authenticates; from then on every request
 * carries the token of its scopes, which is asked for once.
 */
export class Authorizer {
  private challenge: Challenge | undefined;
  private readonly tokens = new Map<string, Promise<Token>>();
  private found: Promise<Credentials | undefined> | undefined;

  /** @param find the credentials; asked once, and only by a registry that wants some */
  constructor(
    private readonly find: () => Promise<Credentials | undefined>,
    private readonly ask: AskTokenServer,
  ) {}

  /** The header for a request with these scopes (`repository:library/debian:pull`); undefined before any challenge. */
  async header(scopes: readonly string[]): Promise<string | undefined> {
    const { challenge } = this;
    if (challenge === undefined) return undefined;
    const credentials = await this.credentials();
    if (credentials?.kind === 'bearer-token') return `Bearer ${credentials.token}`;
    if (challenge.scheme === 'basic') return basic(credentials)['authorization'];
    return `Bearer ${(await this.token(challenge, scopes, credentials)).text}`;
  }

  /**
   * Learns from a 401.
   * @param presented the header that was refused
   * @returns whether to try again: something can be presented that was not yet
   * @throws StoreError ERR_REGISTRY_FAILED when no way is offered that is understood
   */
  async learn(
    wwwAuthenticate: string | undefined,
    scopes: readonly string[],
    presented: string | undefined,
  ): Promise<boolean> {
    const offered = parseChallenges(wwwAuthenticate);
    const challenge =
      offered.find(({ scheme }) => scheme === 'bearer') ?? offered.find(({ scheme }) => scheme === 'basic');
    if (challenge === undefined) {
      throw new StoreError(
        'ERR_REGISTRY_FAILED',
        'the registry wants authentication and offers neither Basic nor Bearer',
      );
    }
    this.challenge = challenge;
    // A cached token may have been revoked; a new one is asked for once.
    if (presented !== undefined) this.tokens.delete(keyOf(scopes));
    const next = await this.header(scopes);
    return next !== undefined && next !== presented;
  }

  private credentials(): Promise<Credentials | undefined> {
    this.found ??= this.find();
    return this.found;
  }

  private async token(
    challenge: Challenge,
    scopes: readonly string[],
    credentials: Credentials | undefined,
  ): Promise<Token> {
    const key = keyOf(scopes);
    const known = this.tokens.get(key);
    if (known !== undefined && (await known).expires > Date.now()) return known;
    const newer = this.tokens.get(key);
    // Several requests at once share one question.
    if (newer !== undefined && newer !== known) return newer;
    const asked = fetchToken(challenge, scopes, credentials, this.ask);
    this.tokens.set(key, asked);
    asked.catch(() => this.tokens.delete(key));
    return asked;
  }
}

const keyOf = (scopes: readonly string[]): string => [...scopes].sort().join(' ');
