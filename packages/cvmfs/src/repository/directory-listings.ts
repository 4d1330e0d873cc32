import type { Entry } from './entry.js';
import type { PathKey } from './path.js';

/** A directory as it is kept in memory. */
export interface DirectoryListing {
  /** Without hidden entries, in the order of their bytes. */
  readonly entries: readonly Entry[];
  readonly byName: ReadonlyMap<PathKey, Entry>;
}

/** Directories that were read, the ones used longest ago given up when they hold too many entries. */
export class DirectoryListings {
  readonly #listings = new Map<PathKey, DirectoryListing>();
  #kept = 0;

  /** @param limit entries, over all directories; the one read last is kept whatever its size */
  constructor(private readonly limit: number) {}

  get(directory: PathKey): DirectoryListing | undefined {
    const listing = this.#listings.get(directory);
    if (listing === undefined) return undefined;
    // A map keeps the order of insertion: the first is the one used longest ago.
    this.#listings.delete(directory);
    this.#listings.set(directory, listing);
    return listing;
  }

  add(directory: PathKey, listing: DirectoryListing): void {
    this.#listings.set(directory, listing);
    this.#kept += weight(listing);
    for (const [oldest, dropped] of this.#listings) {
      if (this.#kept <= this.limit || oldest === directory) break;
      this.#listings.delete(oldest);
      this.#kept -= weight(dropped);
    }
  }
}

/** An empty directory takes room as well. */
const weight = ({ byName }: DirectoryListing): number => byName.size + 1;
