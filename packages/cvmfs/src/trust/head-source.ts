import type { KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { fromSystemError, hasCode, silentLogger, StoreError, type Logger } from '@layerstore/core';
import type { RepositoryConfiguration } from '../configuration/configuration.js';
import type { Blacklist } from '../format/blacklist.js';
import { MANIFEST_LIMIT, type Manifest } from '../format/manifest.js';
import { WHITELIST_LIMIT, type Whitelist } from '../format/whitelist.js';
import type { ObjectSource } from '../objects/object-source.js';
import { readBody } from '../transport/read-body.js';
import { SourcesExhausted, UnacceptableAnswer } from '../transport/source-failure.js';
import type { Sources } from '../transport/sources.js';
import { HeadFile, type HeadDocuments } from './head-file.js';
import type { Head } from './head.js';
import { refuseRollBack } from './roll-back.js';
import { readManifest, verifyManifest } from './verify-manifest.js';
import { checkExpiry, verifyWhitelist } from './verify-whitelist.js';

export interface HeadSourceOptions {
  readonly configuration: RepositoryConfiguration;
  readonly masterKeys: readonly KeyObject[];
  readonly blacklist: Blacklist;
  readonly sources: Sources;
  readonly objects: ObjectSource;
  readonly directory: string;
  /** Milliseconds since 1970. */
  readonly clock: () => number;
  readonly logger?: Logger;
}

/** A PEM certificate; nothing sensible comes near this. */
const CERTIFICATE_LIMIT = 256 * 1024;

/** Finds out which revision a repository is at, and whether that can be believed. */
export class HeadSource {
  readonly #file: HeadFile;
  readonly #name: string;
  readonly #logger: Logger;

  constructor(private readonly options: HeadSourceOptions) {
    this.#file = new HeadFile(options.directory);
    this.#name = options.configuration.name;
    this.#logger = options.logger ?? silentLogger;
  }

  /**
   * Asks the servers. While none of them answers, what is cached counts, as long as its whitelist has not expired; while all of them show
   * a revision older than the cached one, the cached one stays.
   * @throws StoreError ERR_REPOSITORY_UNREACHABLE, ERR_REPOSITORY_UNTRUSTED, ERR_REPOSITORY_ROLLED_BACK, ERR_MALFORMED_REPOSITORY,
   *   ERR_OBJECT_UNAVAILABLE, ERR_ABORTED
   */
  async find(signal: AbortSignal | undefined): Promise<Head> {
    const known = this.#readKnown();
    try {
      return await this.#ask(known, signal);
    } catch (error) {
      const failure = error instanceof SourcesExhausted ? this.#refusal(error) : error;
      if (known === undefined || !hasCode(failure, 'ERR_REPOSITORY_UNREACHABLE', 'ERR_REPOSITORY_ROLLED_BACK'))
        throw failure;
      this.#checkCachedExpiry(known.whitelist, failure);
      this.#logger.warn({ revision: known.manifest.revision, reason: failure.message }, 'the cached revision is used');
      return { manifest: known.manifest, whitelist: known.whitelist, origin: 'cache' };
    }
  }

  async #ask(known: KnownHead | undefined, signal: AbortSignal | undefined): Promise<Head> {
    const fetched = await this.options.sources.request(
      '.cvmfswhitelist',
      async (answer) => {
        const document = await readBody(answer, `${this.#name}: whitelist`, WHITELIST_LIMIT);
        return acceptable(() => {
          const whitelist = verifyWhitelist(document, this.#name, this.options.masterKeys);
          checkExpiry(whitelist, this.#name, this.options.clock());
          return { document, whitelist };
        });
      },
      signal,
    );
    // A server that shows an old whitelist could bring a certificate back that was taken off since.
    const isOlder = known !== undefined && fetched.whitelist.createdAt < known.whitelist.createdAt;
    const current =
      isOlder && !this.#hasExpired(known.whitelist)
        ? { document: known.documents.whitelist, whitelist: known.whitelist }
        : fetched;
    const { documents, manifest } = await this.options.sources.request(
      '.cvmfspublished',
      async (answer) => {
        const document = await readBody(answer, `${this.#name}: manifest`, MANIFEST_LIMIT);
        const unverified = acceptable(() => readManifest(document, this.#name));
        const certificate = await this.#certificate(unverified, signal);
        return acceptable(() => {
          const trust = this.#trust(certificate, current.whitelist);
          const manifest = verifyManifest(document, trust);
          refuseRollBack(manifest, known?.manifest);
          return { documents: { manifest: document, whitelist: current.document, certificate }, manifest };
        });
      },
      signal,
    );
    await this.#file.replace(documents, (present) => this.#isNewer(present, manifest));
    return { manifest, whitelist: current.whitelist, origin: 'server' };
  }

  async #certificate({ certificate }: Manifest, signal: AbortSignal | undefined): Promise<Buffer> {
    try {
      const { path, size } = await this.options.objects.fetch(
        { kind: 'certificate', hash: certificate, compression: 'zlib', size: undefined },
        signal === undefined ? {} : { signal },
      );
      if (size <= CERTIFICATE_LIMIT) return await readFile(path);
    } catch (error) {
      const failure = fromSystemError(error);
      if (hasCode(failure, 'ERR_ABORTED', 'ERR_NO_SPACE', 'ERR_IO')) throw failure;
      throw new UnacceptableAnswer(failure);
    }
    throw new UnacceptableAnswer(
      new StoreError('ERR_LIMIT_EXCEEDED', 'its certificate is too large', { subject: this.#name }),
    );
  }

  /** What is cached, verified like something that has just come; undefined where it does not pass, for whatever reason. */
  #readKnown(): KnownHead | undefined {
    const documents = this.#file.read();
    if (documents === undefined) return undefined;
    try {
      return this.#verifyKnown(documents);
    } catch (error) {
      if (!hasCode(error, 'ERR_REPOSITORY_UNTRUSTED', 'ERR_MALFORMED_REPOSITORY', 'ERR_REPOSITORY_ROLLED_BACK'))
        throw error;
      this.#logger.warn({ reason: error.message }, 'the cached revision is not used');
      return undefined;
    }
  }

  #verifyKnown(documents: HeadDocuments): KnownHead {
    const whitelist = verifyWhitelist(documents.whitelist, this.#name, this.options.masterKeys);
    return {
      documents,
      whitelist,
      manifest: verifyManifest(documents.manifest, this.#trust(documents.certificate, whitelist)),
    };
  }

  #isNewer(present: HeadDocuments, manifest: Manifest): boolean {
    try {
      refuseRollBack(manifest, this.#verifyKnown(present).manifest);
      return false;
    } catch (error) {
      return hasCode(error, 'ERR_REPOSITORY_ROLLED_BACK');
    }
  }

  #trust(certificate: Buffer, whitelist: Whitelist): Parameters<typeof verifyManifest>[1] {
    return { repository: this.#name, certificate, whitelist, blacklist: this.options.blacklist };
  }

  #hasExpired(whitelist: Whitelist): boolean {
    try {
      checkExpiry(whitelist, this.#name, this.options.clock());
      return false;
    } catch (error) {
      if (hasCode(error, 'ERR_REPOSITORY_UNTRUSTED')) return true;
      throw error;
    }
  }

  #checkCachedExpiry(whitelist: Whitelist, failure: StoreError): void {
    if (!this.#hasExpired(whitelist) || this.options.configuration.expiredOffline === 'accept') return;
    throw new StoreError(failure.code, `${failure.message}; the cached whitelist has expired`, {
      hint: 'reconnect; to go on without, set `expiredOffline` to `accept`',
      cause: failure,
    });
  }

  #refusal(exhausted: SourcesExhausted): StoreError {
    return exhausted.unacceptable ?? exhausted.unreachable(this.#name);
  }
}

interface KnownHead {
  readonly documents: HeadDocuments;
  readonly manifest: Manifest;
  readonly whitelist: Whitelist;
}

/** Lets another source be asked when a check refuses what came. */
function acceptable<T>(check: () => T): T {
  try {
    return check();
  } catch (error) {
    throw StoreError.is(error) ? new UnacceptableAnswer(error) : error;
  }
}
