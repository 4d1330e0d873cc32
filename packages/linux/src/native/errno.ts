import { constants } from 'node:os';
import { SystemError, type PathBytes } from '../syscalls.js';

/** Names that os.constants leaves out and that file systems and mounts do report (asm-generic/errno.h). */
const furtherNames: readonly (readonly [number, string])[] = [
  [15, 'ENOTBLK'],
  [66, 'EREMOTE'],
  [87, 'EUSERS'],
  [117, 'EUCLEAN'],
  [121, 'EREMOTEIO'],
  [123, 'ENOMEDIUM'],
  [124, 'EMEDIUMTYPE'],
  [126, 'ENOKEY'],
];

const names = new Map<number, string>(furtherNames);
for (const [name, number] of Object.entries(constants.errno)) names.set(number, name);
// Two names share a number; these are the ones that node:fs reports.
names.set(constants.errno.EAGAIN, 'EAGAIN');
names.set(constants.errno.ENOTSUP, 'ENOTSUP');

/** The symbolic name of an errno, as `node:fs` spells it. */
export function errnoName(errno: number): string {
  return names.get(errno) ?? `E${errno}`;
}

/** @param errno positive, as C has it; {@link SystemError} carries it negative, as errors of `node:fs` do. */
export function systemError(errno: number, syscall: string, path?: PathBytes): SystemError {
  return new SystemError(errnoName(errno), -errno, syscall, path === undefined ? undefined : pathText(path));
}

function pathText(path: PathBytes): string {
  return typeof path === 'string' ? path : Buffer.from(path).toString('utf8');
}

/** True for an error with one of these errno names, whoever threw it: our calls and `node:fs` alike. */
export function hasErrno(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && codes.includes(error.code);
}
