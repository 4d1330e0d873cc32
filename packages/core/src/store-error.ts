import { errorCodes, type ErrorClass, type ErrorCode } from './error-codes.js';

/** Marks errors across duplicated copies of this package, where `instanceof` fails. */
const brand = Symbol.for('layerstore.StoreError');

export interface StoreErrorOptions {
  /** What the error is about: an id, a reference, a path. Leads the message. */
  readonly subject?: string;
  /** The next step for the person who reads it, without a full stop. */
  readonly hint?: string;
  readonly cause?: unknown;
}

/**
 * The one error class of layerstore.
 *
 * `message` is `subject: reason`, in lower case and on one line. `hint` holds the next step. An error of the operating
 * system stays reachable as `cause`.
 */
export class StoreError extends Error {
  readonly code: ErrorCode;
  readonly subject: string | undefined;
  readonly hint: string | undefined;
  readonly [brand] = true;

  constructor(code: ErrorCode, reason: string, options: StoreErrorOptions = {}) {
    const text = printable(options.subject === undefined ? reason : `${options.subject}: ${reason}`);
    super(text, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'StoreError';
    this.code = code;
    this.subject = options.subject;
    this.hint = options.hint;
  }

  /** The row of the error table that this error belongs to. */
  get class(): ErrorClass {
    return errorCodes[this.code];
  }

  static is(value: unknown): value is StoreError {
    return typeof value === 'object' && value !== null && brand in value;
  }
}

/** True when `value` is a {@link StoreError} with one of `codes`. */
export function hasCode(value: unknown, ...codes: ErrorCode[]): value is StoreError {
  return StoreError.is(value) && codes.includes(value.code);
}

/** A plain record of an error, fit for `postMessage` and JSON. */
export interface ErrorRecord {
  readonly code: ErrorCode;
  readonly message: string;
  readonly subject?: string;
  readonly hint?: string;
  readonly cause?: string;
}

/** Flattens any thrown value; what is not a StoreError is classed by {@link fromSystemError}. */
export function toErrorRecord(value: unknown): ErrorRecord {
  const error = StoreError.is(value) ? value : fromSystemError(value);
  const cause = error.cause instanceof Error ? error.cause.message : undefined;
  return {
    code: error.code,
    message: error.message,
    ...(error.subject === undefined ? {} : { subject: error.subject }),
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(cause === undefined ? {} : { cause }),
  };
}

/** The reverse of {@link toErrorRecord}, for records that crossed a thread or a wire. */
export function fromErrorRecord(record: ErrorRecord): StoreError {
  const prefix = record.subject === undefined ? '' : `${printable(record.subject)}: `;
  const reason = record.message.startsWith(prefix) ? record.message.slice(prefix.length) : record.message;
  return new StoreError(record.code, reason, {
    ...(record.subject === undefined ? {} : { subject: record.subject }),
    ...(record.hint === undefined ? {} : { hint: record.hint }),
    ...(record.cause === undefined ? {} : { cause: new Error(record.cause) }),
  });
}

interface SystemErrorShape {
  readonly code?: unknown;
  readonly path?: unknown;
  readonly message?: unknown;
  readonly name?: unknown;
  readonly error?: unknown;
  readonly suppressed?: unknown;
}

/**
 * Classes an error of Node or the kernel: full or read-only disks, missing rights, cancellation; all others are ERR_IO or
 * ERR_INTERNAL. Of a failure whose cleaning up failed too, both are told.
 */
export function fromSystemError(value: unknown, subject?: string): StoreError {
  if (StoreError.is(value)) return value;
  const shape: SystemErrorShape = typeof value === 'object' && value !== null ? value : {};
  if (shape.name === 'SuppressedError') return fromSuppressedError(value, shape);
  const path = subject ?? (typeof shape.path === 'string' ? shape.path : undefined);
  const options = { ...(path === undefined ? {} : { subject: path }), cause: value };
  const text = typeof shape.message === 'string' ? shape.message : String(value);
  switch (shape.code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new StoreError('ERR_NO_SPACE', 'no space left on the file system', {
        ...options,
        hint: 'free some space, then run `layerstore prune` and try again',
      });
    case 'EACCES':
    case 'EPERM':
      return new StoreError('ERR_NEEDS_ROOT', `permission denied (${text})`, {
        ...options,
        hint: 'run as root, or give the needed capabilities',
      });
    case 'EROFS':
      return new StoreError('ERR_READ_ONLY', 'the file system is mounted read-only', {
        ...options,
        hint: 'mount it for writing; to read layers as they are, use `layerstore layer ... --read-only`',
      });
    case 'ABORT_ERR':
      return new StoreError('ERR_ABORTED', 'cancelled', options);
    default:
      if (shape.name === 'AbortError') return new StoreError('ERR_ABORTED', 'cancelled', options);
      return typeof shape.code === 'string' && /^E[A-Z0-9]+$/.test(shape.code)
        ? new StoreError('ERR_IO', text, options)
        : new StoreError('ERR_INTERNAL', text, options);
  }
}

/** A cancellation has its own words only as long as nothing was left behind. */
function fromSuppressedError(value: unknown, { error, suppressed }: SystemErrorShape): StoreError {
  const first = fromSystemError(suppressed);
  const cleaning = fromSystemError(error);
  const told = first.code === 'ERR_ABORTED' ? cleaning : first;
  return new StoreError(told.code, `${first.message}; then the cleaning up failed: ${cleaning.message}`, {
    hint: told.hint ?? 'run `layerstore prune`, which collects what was left',
    cause: value,
  });
}

/** Throws ERR_ABORTED once `signal` is aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw new StoreError('ERR_ABORTED', 'cancelled', { cause: signal.reason });
}

/** Names come from archives and engines: a terminal must not obey escape sequences inside an error text. */
function printable(text: string): string {
  return text.replace(
    /[\u0000-\u001f\u007f-\u009f]/g,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}
