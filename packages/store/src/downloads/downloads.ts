import type { Digest, OperationOptions } from '@layerstore/core';
import type { Descriptor } from '@layerstore/oci';
import type { RootPaths } from '../root.js';
import { Download, type Fetch } from './download.js';
import { Slots } from './slots.js';

/** As many as podman; a registry on the other side of the world is waited for six times at once. */
const AT_ONCE = 6;

/** The downloads of one pull. Disposing ends them all and keeps what came, unless {@link discard} was called. */
export class Downloads implements AsyncDisposable {
  private readonly downloads = new Map<string, Download>();
  private readonly slots = new Slots(AT_ONCE);
  private rest: 'keep' | 'discard' = 'keep';

  constructor(
    private readonly paths: RootPaths,
    private readonly fetch: Fetch,
    private readonly onProgress: OperationOptions['onProgress'],
  ) {}

  /** The same one for layers of the same blob. */
  of(blob: Descriptor): Download {
    const known = this.downloads.get(blob.digest);
    if (known !== undefined) return known;
    const download = new Download(this.paths, blob, this.fetch, (signal) => this.slots.take(signal), this.onProgress);
    this.downloads.set(blob.digest, download);
    return download;
  }

  /** The one that {@link of} gave for a digest. */
  known(digest: Digest): Download | undefined {
    return this.downloads.get(digest);
  }

  /** True when bytes of an earlier pull may be why the bytes were wrong: a power cut leaves files with holes. */
  get shouldStartOver(): boolean {
    return [...this.downloads.values()].some(({ resumed, spoilt }) => resumed && spoilt);
  }

  /** Nothing of it is wanted any more. */
  discard(): void {
    this.rest = 'discard';
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.downloads.values()].map((download) => download.close(this.rest)));
    this.downloads.clear();
  }
}
