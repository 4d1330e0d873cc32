import { DIRECTORY } from '../format/entry-flags.js';
import type { CatalogRow } from './catalog-file.js';

const DIRECTORY_SIZE = 4096;
const MILLISECOND = 1_000_000n;

/** A directory of the publisher's own, above the layers: root's, 0755, without subdirectories yet. @param now milliseconds since 1970 */
export function directoryRow(path: Buffer, now: number): CatalogRow {
  return {
    path,
    flags: DIRECTORY,
    mode: 0o40755,
    uid: 0,
    gid: 0,
    size: DIRECTORY_SIZE,
    mtimeNs: BigInt(Math.floor(now / 1000)) * 1000n * MILLISECOND,
    links: 2,
    linkGroup: 0,
    hash: undefined,
    chunks: [],
    link: Buffer.alloc(0),
    attributes: null,
  };
}
