import { randomBytes } from 'node:crypto';
import { StoreError } from './store-error.js';

declare const layerIdBrand: unique symbol;

/** A name that is safe as one path component: 1 to 128 bytes of `[A-Za-z0-9._-]`, not starting with a dot. */
export type LayerId = string & { readonly [layerIdBrand]: true };

const pattern = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$/;

export function isLayerId(text: unknown): text is LayerId {
  return typeof text === 'string' && pattern.test(text);
}

/**
 * Checks an id before it nears a path.
 * @throws StoreError ERR_INVALID_ID
 */
export function parseLayerId(text: unknown): LayerId {
  if (isLayerId(text)) return text;
  const shown = typeof text === 'string' ? JSON.stringify(text.slice(0, 140)) : typeof text;
  throw new StoreError('ERR_INVALID_ID', 'not a valid id', {
    subject: shown,
    hint: 'an id is 1 to 128 characters of A-Z, a-z, 0-9, ".", "_" and "-", and does not start with a dot',
  });
}

/** A random 64-hex id, the form that dockerd uses for layer directories. */
export function randomId(): LayerId {
  return parseLayerId(randomBytes(32).toString('hex'));
}
