import { usageError } from '../../failures.js';

/** The first descriptor that a service manager passes, after those of stdin, stdout and stderr (sd_listen_fds(3)). */
const FIRST = 3;

/** The descriptor on which a service manager listens for this process; `undefined` where there is none. */
export function listenDescriptor(environment: NodeJS.ProcessEnv, pid: number): number | undefined {
  if (environment['LISTEN_PID'] !== String(pid)) return undefined;
  const count = Number(environment['LISTEN_FDS']);
  if (count === 1) return FIRST;
  throw usageError(`the service manager passes ${environment['LISTEN_FDS'] ?? 'no'} sockets, one was expected`);
}
