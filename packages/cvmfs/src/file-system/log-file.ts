import { appendFileSync, renameSync, statSync } from 'node:fs';
import type { Logger, LogFields } from '@layerstore/core';

const LIMIT = 4 * 1024 * 1024;
/** Lines within a minute, beyond which they are only counted: a program that tries again and again fills no disk. */
const LINES_PER_MINUTE = 600;

/** A logger that appends lines of JSON to a file; above 4 MiB it becomes `<file>.1`, and a new one is begun. */
export function fileLogger(path: string, name: string): Logger {
  let minute = 0;
  let lines = 0;
  const write = (level: string, fields: LogFields, message: string): void => {
    const now = Date.now();
    if (Math.floor(now / 60_000) !== minute) {
      const left = lines - LINES_PER_MINUTE;
      minute = Math.floor(now / 60_000);
      lines = 0;
      if (left > 0) append(path, { time: now, level: 'warn', name, message: `${left} lines were left out` });
    }
    lines += 1;
    if (lines > LINES_PER_MINUTE) return;
    append(path, { time: new Date(now).toISOString(), level, name, message, ...fields });
  };
  return {
    debug: () => undefined,
    info: (fields, message) => write('info', fields, message),
    warn: (fields, message) => write('warn', fields, message),
    error: (fields, message) => write('error', fields, message),
  };
}

function append(path: string, record: LogFields): void {
  try {
    appendFileSync(path, `${JSON.stringify(record)}\n`, { mode: 0o600 });
    if (statSync(path).size > LIMIT) renameSync(path, `${path}.1`);
  } catch {
    // A full disk must not end what serves files.
  }
}
