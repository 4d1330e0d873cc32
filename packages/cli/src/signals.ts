import { constants } from 'node:os';
import { fromSystemError } from '@layerstore/core';

/** Convention of shells for a program that a signal ended. */
export const exitCodeOf = (signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP' | 'SIGPIPE'): number =>
  128 + constants.signals[signal];

/** How the user or the system asked this process to stop. */
export interface Interruption {
  /** Aborted by the first Ctrl-C, SIGTERM or SIGHUP. */
  readonly signal: AbortSignal;
  /** Resolves when the process is asked to stop. */
  readonly stopped: Promise<void>;
  /** Set once the process was asked to stop. */
  readonly exitCode: number | undefined;
  /** Whether `error` is only the consequence of stopping, which needs no message. */
  explains(error: unknown): boolean;
  /** From now on being asked to stop is how the command ends in order: with exit status 0. */
  expectStop(): void;
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
  let stopIsExpected = false;

  const stop = (code: number, reason: string): void => {
    exitCode ??= code;
    controller.abort(new DOMException(reason, 'AbortError'));
  };
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    source.on(name, () => {
      if (name === 'SIGINT' && ctrlCIsForProgram) return;
      if (controller.signal.aborted) process.exit(exitCodeOf(name));
      stop(stopIsExpected ? 0 : exitCodeOf(name), name);
    });
  }
  return {
    signal: controller.signal,
    stopped: new Promise((resolve) => controller.signal.addEventListener('abort', () => resolve(), { once: true })),
    get exitCode() {
      return exitCode;
    },
    // Streams and timers of Node answer an abort with errors of their own.
    explains: (error) => exitCode !== undefined && fromSystemError(error).code === 'ERR_ABORTED',
    expectStop: () => {
      stopIsExpected = true;
    },
    leaveCtrlCToProgram: () => {
      ctrlCIsForProgram = true;
    },
  };
}
