import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { SqliteEngine } from '@layerstore/sqlite';

/**
 * Waits until closed databases have let go of their files.
 *
 * libsql frees a statement, and with the last one the files of its database, only when the garbage collector finds it, and then in the
 * next turn of the event loop. Whoever unmounts the file system under a closed root would find it busy until then.
 * Cost: one garbage collection.
 */
export async function releaseFiles(engine: SqliteEngine): Promise<void> {
  if (engine !== 'libsql') return;
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  // What the first round frees can hold on to what the second one finds.
  for (let round = 0; round < 2; round += 1) {
    collect();
    await setImmediate();
  }
}
