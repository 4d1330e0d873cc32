import type { ContentHash } from './content-hash.js';
import { isSameHash } from './content-hash.js';
import { parseFingerprint } from './fingerprint.js';

/** Local refusals, from a `blacklist` file beside the keys: certificates, and revisions below a floor. */
export interface Blacklist {
  readonly fingerprints: readonly ContentHash[];
  /** Per repository, the first revision that may be used. */
  readonly revisionFloors: ReadonlyMap<string, number>;
}

export const emptyBlacklist: Blacklist = { fingerprints: [], revisionFloors: new Map() };

/**
 * Reads lines of fingerprints (`AA:BB:...`) and of floors (`<sw.example.org 123`: revisions below 123 are refused). Comments begin with `#`;
 * other lines are passed over, as by the standard client.
 */
export function parseBlacklist(text: string): Blacklist {
  const fingerprints: ContentHash[] = [];
  const revisionFloors = new Map<string, number>();
  for (const line of text.split('\n')) {
    const floor = /^<\s*(\S+)\s+(\d{1,15})\s*(?:#.*)?$/.exec(line.trim());
    const fingerprint = parseFingerprint(line.trim().split(/[\s#]/)[0] ?? '');
    if (fingerprint !== undefined) fingerprints.push(fingerprint);
    if (floor?.[1] !== undefined) {
      revisionFloors.set(floor[1], Math.max(Number(floor[2]), revisionFloors.get(floor[1]) ?? 0));
    }
  }
  return { fingerprints, revisionFloors };
}

export function isBlacklisted({ fingerprints }: Blacklist, fingerprint: ContentHash): boolean {
  return fingerprints.some((listed) => isSameHash(listed, fingerprint));
}
