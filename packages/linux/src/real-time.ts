import { loadLibc, type NativeFunction } from './native/libc.js';

const CLOCK_REALTIME = 0;

let clock: { readonly get: NativeFunction; readonly timespec: BigInt64Array } | undefined;

/**
 * The system's clock in nanoseconds since 1970, as every program on this machine reads it. `Date.now()` has milliseconds only, and what
 * is derived from a monotonic clock drifts from it.
 * @throws StoreError ERR_UNSUPPORTED_PLATFORM, ERR_MISSING_PREREQUISITE
 */
export function realTimeNs(): bigint {
  clock ??= { get: loadLibc().bind('clock_gettime', 'int', ['int', 'void *']), timespec: new BigInt64Array(2) };
  const { get, timespec } = clock;
  get(CLOCK_REALTIME, timespec);
  const [seconds = 0n, nanoseconds = 0n] = timespec;
  return seconds * 1_000_000_000n + nanoseconds;
}
