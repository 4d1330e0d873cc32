import { readFileSync, readlinkSync } from 'node:fs';
import { StoreError } from '@layerstore/core';
import { hasErrno } from '@layerstore/linux';

/**
 * Checks a descriptor that a service manager has passed (sd_listen_fds(3)).
 * @throws StoreError ERR_INVALID_ARGUMENT when it is not a socket on `path`
 */
export function requireSocketOn(path: string, fd: number): void {
  const actual = pathOfSocket(fd);
  if (actual === path) return;
  throw new StoreError('ERR_INVALID_ARGUMENT', `the service manager passed a socket on ${actual ?? 'no path'}`, {
    subject: path,
    hint: 'give --socket and ListenStream= the same path',
  });
}

/** By the kernel's table of Unix sockets: `Num RefCount Protocol Flags Type St Inode Path`. */
function pathOfSocket(fd: number): string | undefined {
  const inode = /^socket:\[(\d+)\]$/.exec(linkOf(fd))?.[1];
  if (inode === undefined) return undefined;
  const lines = readFileSync('/proc/net/unix', 'utf8').split('\n');
  const fields = lines.map((line) => /^(?:\S+ ){5}\S+ +(\d+) (.*)$/.exec(line));
  return fields.find((match) => match?.[1] === inode)?.[2];
}

function linkOf(fd: number): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return '';
    throw error;
  }
}
