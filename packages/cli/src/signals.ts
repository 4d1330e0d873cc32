import { constants } from 'node:os';
import { fromSystemError } from '@layerstore/core';

/** Convention of shells for a program that a signal ended. */
export const exitCodeOf = (signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP' | 'SIGPIPE'): number =>
  128 + constants.signals[signal];

/** How the user or the system asked this process to stop. */
export interface Interruption {
  /** Aborted by the first Ctrl-C, SIGTERM or SIGHUP. */
  readonly signal: AbortSignal;
  /** Set once the process was asked to stop. */
  readonly exitCode: number | undefined;
  /** Whether `error` is only the consequence of stopping, which needs no message. */
  explains(error: unknown): boolean;
  /** From now on Ctrl-C is for the program in the foreground, which the terminal sends it to as well. */
  leaveCtrlCToProgram(): void;
}

/**
 * The first signal cancels what runs, which then takes back what is half made and ends; a second one ends the process at
 * once, and the next `prune` collects.
 * @param source where signals arrive; default: this process
 */
export function listenForSignals(source: Pick<NodeJS.EventEmitter, 'on'> = process): Interruption {
  const controller = new AbortController();
  let exitCode: number | undefined;
  let ctrlCIsForProgram = false;

  const stop = (code: number, reason: string): void => {
    exitCode ??= code;
    controller.abort(new DOMException(reason, 'AbortError'));
  };
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    source.on(name, () => {
      if (name === 'SIGINT' && ctrlCIsForProgram) return;
      if (controller.signal.aborted) process.exit(exitCodeOf(name));
      stop(exitCodeOf(name), name);
    });
  }
  return {
    signal: controller.signal,
    get exitCode() {
      return exitCode;
    },
    // Streams and timers of Node answer an abort with errors of their own.
    explains: (error) => exitCode !== undefined && fromSystemError(error).code === 'ERR_ABORTED',
    leaveCtrlCToProgram: () => {
      ctrlCIsForProgram = true;
    },
  };
}
