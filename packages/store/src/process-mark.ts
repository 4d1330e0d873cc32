import { readFileSync } from 'node:fs';

/** Names a process for as long as the machine runs: a pid is reused, a pid with its start time is not. */
export interface ProcessMark {
  /** 0 stands for no process. */
  readonly pid: number;
  /** Clock ticks after boot (proc(5), /proc/PID/stat, field 22). */
  readonly started: number;
}

export const noProcess: ProcessMark = { pid: 0, started: 0 };

export function ownMark(): ProcessMark {
  return { pid: process.pid, started: startOf(process.pid) ?? 0 };
}

export function isAlive(mark: ProcessMark): boolean {
  return mark.pid > 0 && startOf(mark.pid) === mark.started;
}

/** The program name in field 2 may hold blanks and parentheses, so fields are counted from its last `)`. */
function startOf(pid: number): number | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ESRCH') return undefined;
    throw error;
  }
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const started = Number(fields[19]);
  return Number.isFinite(started) ? started : undefined;
}
