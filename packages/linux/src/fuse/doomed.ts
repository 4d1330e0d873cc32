import { readFileSync } from 'node:fs';
import { constants } from 'node:os';

const { SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH } = constants.signals;
const harmless = maskOf(SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH);

/**
 * Whether a thread ends as soon as it leaves the kernel: a signal waits for it that it neither handles nor ignores nor
 * blocks. One that is not seen from here may be, and counts as such.
 *
 * Source: proc_pid_status(5), signal(7).
 */
export function isDoomed(thread: number): boolean {
  let status: string;
  try {
    status = readFileSync(`/proc/${thread}/status`, 'latin1');
  } catch {
    return true;
  }
  const mask = (field: string): bigint =>
    BigInt(`0x${new RegExp(`^${field}:\\s*([0-9a-f]+)$`, 'm').exec(status)?.[1] ?? '0'}`);
  const pending = mask('SigPnd') | mask('ShdPnd');
  return (pending & ~(mask('SigCgt') | mask('SigIgn') | mask('SigBlk') | harmless)) !== 0n;
}

function maskOf(...signals: readonly number[]): bigint {
  return signals.reduce((mask, signal) => mask | (1n << BigInt(signal - 1)), 0n);
}
