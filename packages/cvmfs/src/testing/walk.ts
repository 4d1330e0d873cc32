import { answered } from '../repository/answered.js';
import type { Entry } from '../repository/entry.js';
import type { Revision } from '../repository/revision.js';

export { answered as settled } from '../repository/answered.js';

/** Every entry below a directory and itself, as look-ups tell them. */
export async function* walk(revision: Revision, directory: Entry = revision.root): AsyncGenerator<Entry> {
  yield directory;
  for (const listed of (await answered(revision, () => revision.list(directory))) ?? []) {
    const entry = await answered(revision, () => revision.lookupIn(directory, listed.name));
    if (entry === undefined) throw new Error(`listed and not found: ${listed.path.toString()}`);
    if (entry.type === 'directory') yield* walk(revision, entry);
    else yield entry;
  }
}
