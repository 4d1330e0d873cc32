import type { Manifest } from '../format/manifest.js';
import type { Whitelist } from '../format/whitelist.js';

/** A verified manifest with the whitelist that vouches for it. */
export interface Head {
  readonly manifest: Manifest;
  readonly whitelist: Whitelist;
  /** `server`: fetched just now; `cache`: no server answered, or none had one as new. */
  readonly origin: 'server' | 'cache';
}
