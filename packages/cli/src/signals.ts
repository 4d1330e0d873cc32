import { constants } from 'node:os';
import { hasCode } from '@layerstore/core';

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
 */
export function listenForSignals(): Interruption {
  const controller = new AbortController();
  let exitCode: number | undefined;
  let ctrlCIsForProgram = false;

  const stop = (code: number, reason: string): void => {
    exitCode ??= code;
    controller.abort(new DOMException(reason, 'AbortError'));
  };
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
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
    explains: (error) => exitCode !== undefined && hasCode(error, 'ERR_ABORTED'),
    leaveCtrlCToProgram: () => {
      ctrlCIsForProgram = true;
    },
  };
}
