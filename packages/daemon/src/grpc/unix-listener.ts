/**
 * The socket of a server: made in a private directory, given its mode, and renamed into place, so that nobody reaches it before it is
 * 0600 and a client finds either no socket or one that answers.
 */
import { once } from 'node:events';
import { chmodSync, lstatSync, mkdtempSync, realpathSync, renameSync, rmSync, unlinkSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { basename, dirname, join, resolve } from 'node:path';
import { fromSystemError, StoreError } from '@layerstore/core';
import { hasErrno } from '@layerstore/linux';

/** Bytes of a path in sockaddr_un, the final NUL left out; the private directory needs some of them. */
const pathLimit = 107;

/** A path, or a descriptor that a service manager has bound and passed on (sd_listen_fds(3)). */
export type ListenTarget = { readonly path: string } | { readonly fd: number };

export class UnixListener implements AsyncDisposable {
  private constructor(
    private readonly server: Server,
    /** The socket's file; absent for a descriptor, whose file is its maker's. */
    private readonly file: { readonly path: string; readonly inode: number } | undefined,
  ) {}

  /**
   * Listens, and hands every connection to `accept`.
   * @throws StoreError ERR_BUSY when another process answers there, ERR_EXISTS for anything but a socket in its place
   * @throws StoreError ERR_INVALID_ARGUMENT for a path that is too long, ERR_NOT_FOUND for a missing directory, ERR_NEEDS_ROOT, ERR_IO
   */
  static async listen(target: ListenTarget, accept: (connection: Socket) => void): Promise<UnixListener> {
    const server = createServer(accept);
    if ('fd' in target) {
      await listening(server, { fd: target.fd }, `descriptor ${target.fd}`);
      return new UnixListener(server, undefined);
    }
    const path = inRealDirectory(target.path);
    await removeStale(path);
    const privateDirectory = mkdtempSync(join(dirname(path), '.ls-'));
    try {
      const first = join(privateDirectory, 's');
      await listening(server, { path: requireShort(first) }, path);
      chmodSync(first, 0o600);
      renameSync(first, path);
      return new UnixListener(server, { path, inode: lstatSync(path).ino });
    } catch (error) {
      server.close();
      throw fromSystemError(error, path);
    } finally {
      rmSync(privateDirectory, { recursive: true });
    }
  }

  /** Takes no more connections; those that are open go on. Removes the socket unless another server has put its own there. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.server.close();
    const { file } = this;
    try {
      if (file !== undefined && lstatSync(file.path).ino === file.inode) unlinkSync(file.path);
    } catch (error) {
      if (!hasErrno(error, 'ENOENT')) throw fromSystemError(error, file?.path);
    }
    return Promise.resolve();
  }
}

async function listening(server: Server, where: { path: string } | { fd: number }, subject: string): Promise<void> {
  server.listen(where);
  try {
    await once(server, 'listening');
  } catch (error) {
    throw fromSystemError(error, subject);
  }
}

function inRealDirectory(path: string): string {
  const absolute = resolve(path);
  try {
    return requireShort(join(realpathSync(dirname(absolute)), basename(absolute)));
  } catch (error) {
    if (!hasErrno(error, 'ENOENT')) throw fromSystemError(error, absolute);
    throw new StoreError('ERR_NOT_FOUND', 'the directory of the socket does not exist', {
      subject: absolute,
      hint: `make it first: mkdir -p ${dirname(absolute)}`,
      cause: error,
    });
  }
}

function requireShort(path: string): string {
  if (Buffer.byteLength(path) <= pathLimit) return path;
  throw new StoreError('ERR_INVALID_ARGUMENT', `the path of a socket may have ${pathLimit} bytes`, {
    subject: path,
    hint: 'choose a shorter path, below /run for example',
  });
}

/** A socket that nobody answers on is what a killed server left. */
async function removeStale(path: string): Promise<void> {
  try {
    if (!lstatSync(path).isSocket()) {
      throw new StoreError('ERR_EXISTS', 'something else is in the place of the socket', {
        subject: path,
        hint: 'give another path',
      });
    }
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return;
    throw error;
  }
  if (await answers(path)) {
    throw new StoreError('ERR_BUSY', 'another server listens there', {
      subject: path,
      hint: 'end it first, or give another path',
    });
  }
  rmSync(path, { force: true });
}

async function answers(path: string): Promise<boolean> {
  const socket = createConnection({ path });
  try {
    await once(socket, 'connect');
    return true;
  } catch (error) {
    if (hasErrno(error, 'ECONNREFUSED', 'ENOENT')) return false;
    throw fromSystemError(error, path);
  } finally {
    socket.destroy();
  }
}
