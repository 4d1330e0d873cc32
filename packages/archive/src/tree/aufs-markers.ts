/** Names by which aufs layers (and archives) mark deletions; see `apply/whiteout-name.ts` for what each means. */
import { OPAQUE_MARKER, WHITEOUT_PREFIX } from '../apply/whiteout-name.js';

const prefix = Buffer.from(WHITEOUT_PREFIX);
const opaqueMarker = Buffer.from(OPAQUE_MARKER);
const bookkeeping = Buffer.from(`${WHITEOUT_PREFIX}${WHITEOUT_PREFIX}`);

/** True for every name that an aufs view does not show. */
export function isAufsMarker(name: Buffer): boolean {
  return startsWith(name, prefix);
}

export function isOpaqueMarker(name: Buffer): boolean {
  return name.equals(opaqueMarker);
}

/** The name of the whiteout that hides `name`. */
export function whiteoutOf(name: Buffer): Buffer {
  return Buffer.concat([prefix, name]);
}

/** The name that a whiteout hides; `undefined` for any other name, the bookkeeping of aufs included. */
export function hiddenBy(name: Buffer): Buffer | undefined {
  if (!startsWith(name, prefix) || startsWith(name, bookkeeping)) return undefined;
  const hidden = name.subarray(prefix.length);
  return noNames.has(hidden.toString('latin1')) ? undefined : hidden;
}

const noNames: ReadonlySet<string> = new Set(['', '.', '..']);

function startsWith(name: Buffer, start: Buffer): boolean {
  return name.length >= start.length && name.compare(start, 0, start.length, 0, start.length) === 0;
}
