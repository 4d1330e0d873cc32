import { constants } from 'node:os';
import { hasCode } from '@layerstore/core';

/** Convention of shells for a program that a signal ended. */
const exitCodeOf = (signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP' | 'SIGPIPE'): number => 128 + constants.signals[signal];

/** How the user or the system asked this process to stop. */
export interface Interruption {
  /** Aborted by the first Ctrl-C, SIGTERM or SIGHUP, and when nobody reads stdout any more. */
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
 * once, and the next `prune` collects. A reader of stdout that went away (`layerstore images | head -1`) ends it without
 * a word, as SIGPIPE does for other programs.
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
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    stop(exitCodeOf('SIGPIPE'), 'nobody reads the output');
  });

  return {
    signal: controller.signal,
    get exitCode() {
      return exitCode;
    },
    explains: (error) => exitCode !== undefined && (hasCode(error, 'ERR_ABORTED') || isBrokenPipe(error)),
    leaveCtrlCToProgram: () => {
      ctrlCIsForProgram = true;
    },
  };
}

/** A worker that writes to a stdout without reader fails with EPIPE, perhaps before this thread notices. */
export function isBrokenPipe(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ('code' in cause && cause.code === 'EPIPE') return true;
    if (cause.message.includes('EPIPE')) return true;
  }
  return false;
}
