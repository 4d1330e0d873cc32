import type { Answer } from '../repository/answer.js';
import type { Entry } from '../repository/entry.js';
import type { Revision } from '../repository/revision.js';

/** The answer, after all catalogs that it asks for were fetched. */
export async function settled<T>(revision: Revision, ask: () => Answer<T>): Promise<T | undefined> {
  for (;;) {
    const answer = ask();
    if (answer.kind === 'found') return answer.value;
    if (answer.kind === 'absent') return undefined;
    await revision.load(answer);
  }
}

/** Every entry below a directory and itself, as look-ups tell them. */
export async function* walk(revision: Revision, directory: Entry = revision.root): AsyncGenerator<Entry> {
  yield directory;
  for (const listed of (await settled(revision, () => revision.list(directory))) ?? []) {
    const entry = await settled(revision, () => revision.lookupIn(directory, listed.name));
    if (entry === undefined) throw new Error(`listed and not found: ${listed.path.toString()}`);
    if (entry.type === 'directory') yield* walk(revision, entry);
    else yield entry;
  }
}
