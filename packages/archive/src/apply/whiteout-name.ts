/**
 * Whiteouts as archives hold them: `.wh.NAME` hides NAME of the lower layers, `.wh..wh..opq` all lower content of its
 * directory (OCI image-spec, layer.md, "Whiteouts"). Every other `.wh..wh.` name is bookkeeping of an aufs branch:
 * files under `.wh..wh.plnk/` are further names of hard-linked files.
 */
import { StoreError } from '@layerstore/core';

export const WHITEOUT_PREFIX = '.wh.';
export const OPAQUE_MARKER = '.wh..wh..opq';
const BOOKKEEPING_PREFIX = '.wh..wh.';
const PSEUDO_LINKS = '.wh..wh.plnk';

const prefix = Buffer.from(WHITEOUT_PREFIX);
const SLASH = 0x2f;

/** What a cleaned member name stands for. Paths of directories are relative to the root; the root is empty. */
export type MemberRole =
  | { readonly kind: 'ordinary' }
  | { readonly kind: 'whiteout'; readonly directory: Buffer; readonly hidden: Buffer; readonly marker: Buffer }
  | { readonly kind: 'opaque'; readonly directory: Buffer }
  | { readonly kind: 'pseudo-link'; readonly name: Buffer }
  | { readonly kind: 'bookkeeping' };

const ORDINARY: MemberRole = { kind: 'ordinary' };
const BOOKKEEPING: MemberRole = { kind: 'bookkeeping' };

/**
 * @throws StoreError ERR_ARCHIVE_ESCAPE for a whiteout of `..`
 * @throws StoreError ERR_MALFORMED_ARCHIVE for one of nothing or of `.`, and for a member below a whiteout
 */
export function memberRole(path: Buffer): MemberRole {
  if (!path.includes(prefix)) return ORDINARY;
  const components = path.toString('latin1').split('/');
  const first = components.findIndex((component) => component.startsWith(WHITEOUT_PREFIX));
  const marker = components[first];
  if (marker === undefined) return ORDINARY;
  const rest = components.slice(first + 1);
  if (marker === OPAQUE_MARKER && rest.length === 0) return { kind: 'opaque', directory: parentOf(path) };
  if (marker === PSEUDO_LINKS && first === 0 && rest.length === 1) {
    return { kind: 'pseudo-link', name: Buffer.from(rest.join(), 'latin1') };
  }
  if (marker.startsWith(BOOKKEEPING_PREFIX)) return BOOKKEEPING;
  const hidden = marker.slice(WHITEOUT_PREFIX.length);
  if (hidden === '..') throw new StoreError('ERR_ARCHIVE_ESCAPE', 'the whiteout points upwards');
  if (hidden === '' || hidden === '.') throw malformed('the whiteout names nothing');
  if (rest.length > 0) throw malformed('the member lies below a whiteout');
  return {
    kind: 'whiteout',
    directory: parentOf(path),
    hidden: Buffer.from(hidden, 'latin1'),
    marker: Buffer.from(marker, 'latin1'),
  };
}

function parentOf(path: Buffer): Buffer {
  const slash = path.lastIndexOf(SLASH);
  return path.subarray(0, Math.max(slash, 0));
}

function malformed(reason: string): StoreError {
  return new StoreError('ERR_MALFORMED_ARCHIVE', reason);
}
