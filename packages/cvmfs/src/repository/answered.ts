import { StoreError, type OperationOptions } from '@layerstore/core';
import type { Answer } from './answer.js';
import type { Entry } from './entry.js';
import type { RevisionReader } from './revision-reader.js';

type Call = Pick<OperationOptions, 'signal'>;

/** How many catalogs one question may ask for: more are not in one another. */
const ROUNDS = 1000;

/**
 * The answer to a question, after the catalogs that it asks for were fetched; undefined for `absent`. For callers that can wait.
 * @throws StoreError as `RevisionReader.load` and the question
 */
export async function answered<T>(
  revision: RevisionReader,
  question: () => Answer<T>,
  call: Call = {},
): Promise<T | undefined> {
  for (let round = 0; round < ROUNDS; round += 1) {
    const answer = question();
    if (answer.kind === 'found') return answer.value;
    if (answer.kind === 'absent') return undefined;
    await revision.load(answer, call);
  }
  throw new StoreError('ERR_OBJECT_UNAVAILABLE', 'catalogs leave the cache as fast as they come', {
    subject: revision.record.repository,
    hint: 'give the object cache a higher limit',
  });
}

/**
 * An entry that has to be there. Symbolic links are not followed.
 * @throws StoreError ERR_NOT_FOUND; as {@link answered}
 */
export async function findEntry(revision: RevisionReader, path: string | Buffer, call: Call = {}): Promise<Entry> {
  const entry = await answered(revision, () => revision.lookup(path), call);
  if (entry !== undefined) return entry;
  throw new StoreError('ERR_NOT_FOUND', 'no such file or directory in this revision', {
    subject: `${revision.record.repository}:${path.toString()}`,
    hint: 'symbolic links are not followed; `layerstore cvmfs ls` lists what there is',
  });
}

/**
 * The entries of a directory.
 * @throws StoreError ERR_INVALID_ARGUMENT for what is no directory; as {@link answered}
 */
export async function listEntries(
  revision: RevisionReader,
  directory: Entry,
  call: Call = {},
): Promise<readonly Entry[]> {
  return (await answered(revision, () => revision.list(directory), call)) ?? [];
}

/** A directory's whole tree, the directory itself first, depth first in the order of bytes. @throws StoreError as {@link answered} */
export async function* walkEntries(revision: RevisionReader, directory: Entry, call: Call = {}): AsyncGenerator<Entry> {
  const waiting = [directory];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    yield next;
    if (next.type === 'directory') waiting.push(...[...(await listEntries(revision, next, call))].reverse());
  }
}
