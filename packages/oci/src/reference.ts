import { isDigest, StoreError, type Digest } from '@layerstore/core';

/**
 * The name of an image, taken apart: `docker.io/library/debian:12@sha256:...`.
 *
 * Grammar and the short forms are those of the engines (github.com/distribution/reference, "Grammar"): `debian` is
 * `docker.io/library/debian`, and a first component counts as a registry when it has a dot or a port, is `localhost`, or
 * has upper-case letters.
 */
export interface Reference {
  /** Host and port of the registry. */
  readonly domain: string;
  /** Repository without the registry: `library/debian`. */
  readonly path: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

const DEFAULT_DOMAIN = 'docker.io';
const OFFICIAL = 'library/';
/** Bytes of domain and path together. */
const NAME_LIMIT = 255;

const label = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])';
const domainPattern = new RegExp(`^(?:${label}(?:\\.${label})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?$`);
const pathPattern = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*$/;
const bareId = /^[0-9a-f]{64}$/;
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;

/**
 * Parses a reference as a user types it or an archive holds it.
 * @throws StoreError ERR_INVALID_REFERENCE
 */
export function parseReference(text: string): Reference {
  const fail = (reason: string, hint?: string): StoreError =>
    new StoreError('ERR_INVALID_REFERENCE', reason, {
      subject: text.length > 300 ? `${text.slice(0, 300)}...` : text,
      hint: hint ?? 'a reference is [registry/]repository[:tag][@digest], for example debian:12',
    });
  const at = text.indexOf('@');
  const named = at < 0 ? text : text.slice(0, at);
  const digest = at < 0 ? undefined : text.slice(at + 1);
  if (digest !== undefined && !isDigest(digest)) throw fail('the digest is not sha256: and 64 hex digits');
  const colon = named.indexOf(':', named.lastIndexOf('/') + 1);
  const name = colon < 0 ? named : named.slice(0, colon);
  const tag = colon < 0 ? undefined : named.slice(colon + 1);
  if (tag !== undefined && !tagPattern.test(tag)) throw fail('the tag has characters or a length that is not allowed');
  if (bareId.test(text)) throw fail('64 hex digits are an image ID, not a name');
  const { domain, path } = splitDomain(name);
  if (!domainPattern.test(domain)) throw fail('the registry is not a host name');
  if (path !== path.toLowerCase()) throw fail('the repository has upper-case letters', 'write it in lower case');
  if (!pathPattern.test(path)) throw fail('not an image reference');
  if (domain.length + 1 + path.length > NAME_LIMIT) throw fail(`the name is longer than ${NAME_LIMIT} characters`);
  return {
    domain,
    path,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  };
}

/** Gives a reference without tag and digest the tag `latest`. */
export function withDefaultTag(reference: Reference): Reference {
  return reference.tag === undefined && reference.digest === undefined ? { ...reference, tag: 'latest' } : reference;
}

/** The one spelling under which a reference is stored: `docker.io/library/debian:latest`. */
export function canonicalName(reference: Reference): string {
  return `${reference.domain}/${reference.path}${suffix(reference)}`;
}

/** The spelling that users know: `debian:latest`. */
export function familiarName(reference: Reference): string {
  const { domain, path } = reference;
  if (domain !== DEFAULT_DOMAIN) return canonicalName(reference);
  const short = path.startsWith(OFFICIAL) ? path.slice(OFFICIAL.length) : path;
  const again = splitDomain(short);
  // A repository may be called `library/a/b` or `foo.bar/x`: shortened, it would be read back as another one.
  const unambiguous = again.domain === domain && again.path === path && !bareId.test(short);
  return `${unambiguous ? short : `${domain}/${path}`}${suffix(reference)}`;
}

/** `debian` -> `docker.io/library/debian:latest`. @throws StoreError ERR_INVALID_REFERENCE */
export function normaliseReference(text: string): string {
  return canonicalName(withDefaultTag(parseReference(text)));
}

function suffix({ tag, digest }: Reference): string {
  return `${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
}

function splitDomain(name: string): { domain: string; path: string } {
  const slash = name.indexOf('/');
  const first = name.slice(0, Math.max(slash, 0));
  const isDomain = slash > 0 && (/[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase());
  const domain = isDomain ? first : DEFAULT_DOMAIN;
  const path = isDomain ? name.slice(slash + 1) : name;
  if (domain !== DEFAULT_DOMAIN && domain !== 'index.docker.io') return { domain, path };
  return { domain: DEFAULT_DOMAIN, path: path.includes('/') ? path : `${OFFICIAL}${path}` };
}
