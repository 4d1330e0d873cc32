// What processes have used so far, from proc(5).
import { readdirSync, readFileSync } from 'node:fs';

/** The process and all that it started, and these in turn. */
export function processTree(root) {
  const children = new Map();
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const parent = Number(statFields(pid)?.[1]);
    children.set(parent, [...(children.get(parent) ?? []), Number(pid)]);
  }
  const found = [root];
  for (const pid of found) found.push(...(children.get(pid) ?? []));
  return found;
}

/** Fields of /proc/PID/stat after the program's name, which may hold anything; undefined when the process has ended. */
function statFields(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch (error) {
    if (error.code === 'ENOENT' || error.code === 'ESRCH') return undefined;
    throw error;
  }
}

/** User and system time in seconds, of the process and of its children that it has waited for; Linux counts in 1/100 s. */
export function processorSeconds(pid) {
  const ticks = statFields(pid)?.slice(11, 15).map(Number) ?? [];
  return ticks.reduce((sum, count) => sum + count, 0) / 100;
}

/** Bytes; greatest resident set so far. */
export function peakMemory(pid) {
  const line = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(line?.[1] ?? NaN) * 1024;
}
