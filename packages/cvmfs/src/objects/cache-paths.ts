import { join } from 'node:path';
import { contentKey, type ObjectReference } from '../format/object-reference.js';

/**
 * The files of a cache directory:
 *
 *     objects/bf/2207f01f...          decompressed content; `.plain` behind the name of one that was stored as it is
 *     clients/RANDOM/lock             held while a process uses the cache
 *     clients/RANDOM/pins             names of objects that clean-ups spare, a line each
 *     clients/RANDOM/*.part           downloads, renamed into `objects` when they are whole
 *     repositories/NAME/head.json     the newest manifest that was seen, with what vouches for it
 *     cleaning                        held during a clean-up
 */
export class CachePaths {
  constructor(readonly directory: string) {}

  get objects(): string {
    return join(this.directory, 'objects');
  }

  get clients(): string {
    return join(this.directory, 'clients');
  }

  get cleaning(): string {
    return join(this.directory, 'cleaning');
  }

  /** @param repository a name that was checked */
  repository(repository: string): string {
    return join(this.directory, 'repositories', repository);
  }

  folder(object: ObjectReference): string {
    return join(this.objects, contentKey(object).slice(0, 2));
  }

  /** Made of hex digits and our own words only. */
  object(object: ObjectReference): string {
    const key = contentKey(object);
    return `${this.objects}/${key.slice(0, 2)}/${key.slice(2)}`;
  }
}
