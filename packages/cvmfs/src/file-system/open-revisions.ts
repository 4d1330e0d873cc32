import { Later } from '@layerstore/linux';
import type { RepositoryLimits } from '../configuration/configuration.js';
import type { LocalObjectSource } from '../objects/object-source.js';
import { Revision, rootCatalogOf } from '../repository/revision.js';
import type { Need, PinMessage, PinnedRevision } from './need.js';

export interface OpenRevisionsOptions {
  readonly local: LocalObjectSource;
  readonly limits?: Partial<RepositoryLimits> | undefined;
  readonly linkVariables?: Readonly<Record<string, string>> | undefined;
  /** The messages that came since it was called last. */
  readonly receive: () => Iterable<PinMessage>;
}

/** The revisions that one thread reads. */
export class OpenRevisions {
  readonly #records = new Map<string, PinnedRevision>();
  readonly #pinned = new Set<string>();
  readonly #open = new Map<string, Revision>();

  /** How many were closed: what was kept of one before is no longer to be used. */
  closed = 0;

  constructor(private readonly options: OpenRevisionsOptions) {}

  /** Root hashes of the revisions that are pinned, in their order. */
  pinned(): string[] {
    this.#update();
    return [...this.#pinned].sort();
  }

  /** A revision that is or was pinned: the kernel may know files of one that nobody pins any more. */
  get(rootHash: string): Revision | Later<Need> | undefined {
    const open = this.#open.get(rootHash);
    if (open !== undefined) return open;
    this.#update();
    const known = this.#records.get(rootHash);
    if (known === undefined) return undefined;
    const { local, limits, linkVariables } = this.options;
    const root = rootCatalogOf(known.record);
    if (local.find(root) === undefined) return new Later({ object: root, subject: known.record.repository });
    const revision = new Revision({
      record: known.record,
      local,
      linkVariables,
      ...(limits === undefined ? {} : { limits }),
    });
    this.#open.set(rootHash, revision);
    return revision;
  }

  #update(): void {
    for (const message of this.options.receive()) {
      if (message.kind === 'pin') {
        this.#records.set(message.revision.rootHash, message.revision);
        this.#pinned.add(message.revision.rootHash);
      } else {
        this.#pinned.delete(message.rootHash);
        // Its databases and directories take memory; what the kernel still asks of it opens them again.
        this.#open.get(message.rootHash)?.[Symbol.dispose]();
        if (this.#open.delete(message.rootHash)) this.closed += 1;
      }
    }
  }
}
