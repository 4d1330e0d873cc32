import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { fromErrorRecord, fromSystemError, StoreError, throwIfAborted } from '@layerstore/core';
import { FileLock, hasErrno } from '@layerstore/linux';
import { KeeperPaths } from './keeper-paths.js';
import type { LazyMountUse } from './lazy-mount.js';
import type { FileRequest, KeeperAnswer, KeeperReport, KeeperRequest, KeeperStart } from './messages.js';

const keeperScript = fileURLToPath(new URL('../../dist/workers/cvmfs-keeper.js', import.meta.url));

/** A connection to a keeper, which does not end as long as one is open. */
export class KeeperClient implements Disposable {
  readonly #lines: Interface;
  readonly #answers: AsyncIterator<string>;

  private constructor(private readonly socket: Socket) {
    this.#lines = createInterface({ input: socket });
    this.#answers = this.#lines[Symbol.asyncIterator]();
  }

  /** Connects to the keeper of a directory; undefined when none runs. */
  static async find(paths: KeeperPaths): Promise<KeeperClient | undefined> {
    const socket = connect(paths.socket);
    try {
      await once(socket, 'connect');
      return new KeeperClient(socket);
    } catch (error) {
      socket.destroy();
      // ECONNRESET: it was killed in this moment.
      if (hasErrno(error, 'ENOENT', 'ECONNREFUSED', 'ECONNRESET')) return undefined;
      throw fromSystemError(error, paths.socket);
    }
  }

  /** The same, and starts a keeper where none runs. Two callers wait for each other. @throws StoreError as `Keeper.start` */
  static async findOrStart(start: KeeperStart, signal?: AbortSignal): Promise<KeeperClient> {
    const paths = new KeeperPaths(start.directory);
    mkdirSync(start.directory, { recursive: true, mode: 0o700 });
    await using _ = await FileLock.acquire(paths.lock, signal === undefined ? {} : { signal });
    const running = await KeeperClient.find(paths);
    if (running !== undefined) return running;
    await startKeeper(start);
    const started = await KeeperClient.find(paths);
    if (started !== undefined) return started;
    throw new StoreError('ERR_INTERNAL', 'the keeper of the mount ended at once', { subject: start.directory });
  }

  /** @throws StoreError what the keeper answers; ERR_CLOSED when it is killed meanwhile; ERR_ABORTED */
  async ask(request: Exclude<KeeperRequest, FileRequest>, signal?: AbortSignal): Promise<readonly LazyMountUse[]> {
    const answer = await this.#exchange(request, signal);
    return answer.kind === 'uses' ? answer.uses : [];
  }

  /** The same about files of a revision. @returns paths for `recorded` */
  async askForFiles(request: FileRequest): Promise<readonly string[]> {
    const answer = await this.#exchange(request, undefined);
    return answer.kind === 'files' ? answer.files : [];
  }

  async #exchange(
    request: KeeperRequest,
    signal: AbortSignal | undefined,
  ): Promise<Exclude<KeeperAnswer, { readonly kind: 'failed' }>> {
    throwIfAborted(signal);
    const abort = (): void => void this.socket.destroy();
    signal?.addEventListener('abort', abort, { once: true });
    try {
      this.socket.write(`${JSON.stringify(request)}\n`);
      const line = await this.#answers.next();
      throwIfAborted(signal);
      if (line.done === true) throw new StoreError('ERR_CLOSED', 'the keeper of the mount has ended');
      const answer = JSON.parse(line.value) as KeeperAnswer;
      if (answer.kind === 'failed') throw fromErrorRecord(answer.error);
      return answer;
    } catch (cause) {
      throwIfAborted(signal);
      if (!hasErrno(cause, 'ECONNRESET', 'EPIPE')) throw cause;
      throw new StoreError('ERR_CLOSED', 'the keeper of the mount was killed', { hint: 'try again', cause });
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  [Symbol.dispose](): void {
    this.#lines.close();
    this.socket.destroy();
  }
}

async function startKeeper(start: KeeperStart): Promise<void> {
  const child = spawn(process.execPath, ['--no-warnings', keeperScript], {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    detached: true,
    env: {},
    cwd: '/',
  });
  const report = await new Promise<KeeperReport>((resolve, reject) => {
    child.once('message', (message: KeeperReport) => resolve(message));
    child.once('error', reject);
    child.once('exit', () => reject(new StoreError('ERR_INTERNAL', 'the keeper of the mount does not start')));
    child.send(start);
  });
  child.removeAllListeners();
  child.unref();
  if (report.kind === 'failed') throw fromErrorRecord(report.error);
}
