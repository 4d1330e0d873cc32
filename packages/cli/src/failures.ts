import { fromSystemError, StoreError } from '@layerstore/core';
import { printable } from './output/printable.js';

/** A wrong use of the command line. @see docs/errors.md */
export function usageError(reason: string, hint?: string): StoreError {
  return new StoreError('ERR_INVALID_ARGUMENT', reason, hint === undefined ? {} : { hint });
}

/** Ends the command with an exit status after it has printed all that there is to say. */
export class Finished extends Error {
  constructor(readonly exitCode: number) {
    super('finished');
  }
}

/** Writes an error in the form of the project, `layerstore: <message>` and `hint: <hint>`; returns the exit status. */
export function report(
  error: unknown,
  stream: { write(text: string): unknown },
  options: { readonly stack?: boolean } = {},
): number {
  if (error instanceof Finished) return error.exitCode;
  const failure = fromSystemError(error);
  stream.write(`layerstore: ${failure.message}\n`);
  if (failure.hint !== undefined) stream.write(`hint: ${printable(failure.hint)}\n`);
  if (options.stack === true || failure.code === 'ERR_INTERNAL') stream.write(`${stackOf(failure)}\n`);
  return failure.class.exit;
}

/**
 * Whether the reader of stdout went away, as in `layerstore images | head -1`: the command ends without a word, as SIGPIPE ends
 * other programs. A worker's error crosses threads as a record, which keeps only the text of its cause.
 */
export function isBrokenPipe(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (('code' in cause && cause.code === 'EPIPE') || cause.message.includes('EPIPE')) return true;
  }
  return false;
}

function stackOf(error: StoreError): string {
  const stacks: string[] = [];
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause)
    stacks.push(cause.stack ?? cause.message);
  return stacks.flatMap((stack) => stack.split('\n').map(printable)).join('\n');
}
