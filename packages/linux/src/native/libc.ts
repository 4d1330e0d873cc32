/**
 * libc, reached through koffi.
 *
 * Functions are bound by name in the process's own symbol table, so glibc and musl serve alike and no library path is
 * guessed. A variadic function (open, ioctl, syscall) is declared with the arguments that are passed: on the System V
 * and AAPCS64 ABIs they travel in the same registers.
 */
import { StoreError } from '@layerstore/core';
import type * as KoffiModule from 'koffi';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import type { PathBytes } from '../syscalls.js';
import { systemError } from './errno.js';

/** `long` is 64 bits: off_t, size_t, ssize_t, and every argument of syscall(2). */
export type NativeType = 'int' | 'uint' | 'long' | 'void *';
export type NativeValue = number | bigint | string | Uint8Array | BigInt64Array | BigUint64Array | null;
export type NativeFunction = (...values: NativeValue[]) => number;
/** Runs in a thread of libuv's pool; settles with the result and the errno that the call left there. */
export type BackgroundFunction = (...values: NativeValue[]) => Promise<{ result: number; errno: number }>;

export interface Libc {
  /** A function of libc. One that this libc lacks fails with ENOSYS when it is called. */
  bind(name: string, result: 'int' | 'long', parameters: readonly NativeType[]): NativeFunction;
  /** The same without waiting. Bytes that are passed must stay as they are until it has settled. */
  bindBackground(name: string, result: 'int' | 'long', parameters: readonly NativeType[]): BackgroundFunction;
  /**
   * A kernel call without a wrapper in every libc, by number.
   * @param number must be the same on all architectures, which holds from 424 on (one table since Linux 5.1)
   */
  bindSyscall(number: number, parameters: readonly NativeType[]): NativeFunction;
  /** The errno that the last call of this thread left. */
  errno(): number;
  /** The same as an error. */
  failure(syscall: string, path?: PathBytes): Error;
}

type Koffi = typeof KoffiModule;

/**
 * @throws StoreError ERR_UNSUPPORTED_PLATFORM off 64-bit Linux
 * @throws StoreError ERR_MISSING_PREREQUISITE when koffi or its binary for this platform is not installed
 */
export function loadLibc(): Libc {
  const koffi = loadKoffi();
  const library = koffi.load(null);
  const errno = (): number => koffi.errno();
  return {
    bind: (name, result, parameters) => {
      try {
        return library.func(name, result, [...parameters]);
      } catch {
        return () => {
          throw systemError(constants.errno.ENOSYS, name);
        };
      }
    },
    bindBackground: (name, result, parameters) => {
      const call = library.func(name, result, [...parameters]) as { async: (...values: unknown[]) => void };
      return (...values) =>
        new Promise((resolve) => {
          // The error number of the pool's thread can be asked for only inside the callback.
          call.async(...values, (_error: unknown, returned: number) =>
            resolve({ result: returned, errno: koffi.errno() }),
          );
        });
    },
    bindSyscall: (number, parameters) => {
      const call: NativeFunction = library.func('syscall', 'long', ['long', ...parameters]);
      return (...values) => call(number, ...values);
    },
    errno,
    failure: (syscall, path) => systemError(errno(), syscall, path),
  };
}

/** Loaded on first use only: importing this package must work where koffi has no binary. */
export function loadKoffi(): Koffi {
  if (process.platform !== 'linux') {
    throw new StoreError('ERR_UNSUPPORTED_PLATFORM', `kernel calls need Linux, this is ${process.platform}`);
  }
  const koffi = requireKoffi();
  if (koffi.sizeof('long') !== 8) {
    throw new StoreError('ERR_UNSUPPORTED_PLATFORM', `kernel calls need a 64-bit system, this is ${process.arch}`);
  }
  return koffi;
}

function requireKoffi(): Koffi {
  try {
    return createRequire(import.meta.url)('koffi') as Koffi;
  } catch (cause) {
    throw new StoreError('ERR_MISSING_PREREQUISITE', 'the native module koffi cannot be loaded', {
      hint: 'install again with optional dependencies: npm install --include=optional',
      cause,
    });
  }
}
