/**
 * Who keeps a container mounted.
 *
 * The kernel's mount table is the truth about the mount; the rows of `holds` say why it is there. A hold belongs to this
 * boot and either to a process (by pid and start time) or, with pid 0, to nobody: it then lasts until `unmount`. Holds of dead
 * processes and of earlier boots count for nothing.
 */
import { bootId } from '@layerstore/linux';
import type { LayerId } from '@layerstore/core';
import type { MetaDatabase } from '../database/meta-database.js';
import { isAlive, noProcess, type ProcessMark } from '../process-mark.js';

/** Inside a transaction: adds one to the holder's count. */
export function addHold(database: MetaDatabase, container: LayerId, holder: ProcessMark): void {
  database
    .prepare(
      `INSERT INTO holds VALUES (?, ?, ?, ?, 1)
         ON CONFLICT (container, boot_id, pid, started) DO UPDATE SET count = count + 1`,
    )
    .run(container, bootId(), holder.pid, holder.started);
}

/** Inside a transaction: takes one off the holder's count. A surplus release is no error. */
export function dropHold(database: MetaDatabase, container: LayerId, holder: ProcessMark): void {
  const key = [container, bootId(), holder.pid, holder.started] as const;
  database
    .prepare('UPDATE holds SET count = count - 1 WHERE container = ? AND boot_id = ? AND pid = ? AND started = ?')
    .run(...key);
  database
    .prepare('DELETE FROM holds WHERE container = ? AND boot_id = ? AND pid = ? AND started = ? AND count <= 0')
    .run(...key);
}

export function dropAllHolds(database: MetaDatabase, container: LayerId): void {
  database.prepare('DELETE FROM holds WHERE container = ?').run(container);
}

/** Inside a transaction: forgets holds of earlier boots and dead processes, and counts the rest. */
export function countHolds(database: MetaDatabase, container: LayerId): number {
  let count = 0;
  for (const row of database.prepare('SELECT * FROM holds WHERE container = ?').all(container)) {
    const holder = { pid: Number(row['pid']), started: Number(row['started']) };
    if (row['boot_id'] === bootId() && (holder.pid === noProcess.pid || isAlive(holder))) {
      count += Number(row['count']);
      continue;
    }
    database
      .prepare('DELETE FROM holds WHERE container = ? AND boot_id = ? AND pid = ? AND started = ?')
      .run(container, String(row['boot_id']), holder.pid, holder.started);
  }
  return count;
}
