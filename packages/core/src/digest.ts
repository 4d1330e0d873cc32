import { createHash } from 'node:crypto';
import { StoreError } from './store-error.js';

declare const digestBrand: unique symbol;

/** `sha256:` and 64 lower-case hex digits (OCI image-spec, descriptor.md, "Digests"). */
export type Digest = string & { readonly [digestBrand]: true };

/** Digest of a layer's uncompressed tar. */
export type DiffId = Digest;

/** Digest over the diff IDs from the base up; names a stack of layers. */
export type ChainId = Digest;

const pattern = /^sha256:[0-9a-f]{64}$/;

export function isDigest(text: unknown): text is Digest {
  return typeof text === 'string' && pattern.test(text);
}

/**
 * Checks a digest that came from outside. Only sha256 is accepted: it is what the engines write, and a digest becomes
 * part of a path.
 * @throws StoreError ERR_MALFORMED_IMAGE
 */
export function parseDigest(text: unknown, subject = 'digest'): Digest {
  if (isDigest(text)) return text;
  const shown = typeof text === 'string' ? JSON.stringify(text.slice(0, 100)) : typeof text;
  throw new StoreError('ERR_MALFORMED_IMAGE', `${shown} is not a sha256 digest`, { subject });
}

/** The 64 hex digits of a digest. */
export function digestHex(digest: Digest): string {
  return digest.slice('sha256:'.length);
}

export function digestOf(data: string | Uint8Array): Digest {
  return digestFromHex(createHash('sha256').update(data).digest('hex'));
}

/** Names 64 hex digits, as a hash gives them. @throws StoreError ERR_MALFORMED_IMAGE */
export function digestFromHex(hex: string): Digest {
  return parseDigest(`sha256:${hex}`);
}

/**
 * The chain IDs of a stack, base first (OCI image-spec, config.md, "Layer ChainID"): the first is the diff ID itself,
 * each next one is sha256 over `parent chain ID + " " + diff ID`.
 */
export function chainIds(diffIds: readonly DiffId[]): ChainId[] {
  const chain: ChainId[] = [];
  for (const diffId of diffIds) {
    const parent = chain.at(-1);
    chain.push(parent === undefined ? diffId : nextChainId(parent, diffId));
  }
  return chain;
}

/** The chain ID of a layer over a stack. */
export function nextChainId(parent: ChainId, diffId: DiffId): ChainId {
  return digestOf(`${parent} ${diffId}`);
}

/** The first 12 hex digits, as docker and podman print ids. */
export function shortId(digest: string): string {
  return digest.replace(/^sha256:/, '').slice(0, 12);
}
