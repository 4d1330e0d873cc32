import { chmodSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { once } from 'node:events';
import { toErrorRecord } from '@layerstore/core';
import type { Keeper } from './keeper.js';
import type { KeeperAnswer, KeeperRequest } from './messages.js';

const END_AGAIN_MS = 200;

/** Lets clients ask a keeper, and ends it when it has no use and nobody is connected. The directory is root's alone. */
export class KeeperSocket {
  readonly #connections = new Set<Socket>();
  readonly #server: Server;

  private constructor(private readonly keeper: Keeper) {
    this.#server = createServer((socket) => this.#serve(socket));
  }

  static async listen(keeper: Keeper, path: string): Promise<KeeperSocket> {
    const socket = new KeeperSocket(keeper);
    rmSync(path, { force: true });
    socket.#server.listen(path);
    await once(socket.#server, 'listening');
    chmodSync(path, 0o600);
    return socket;
  }

  /** Nobody is answered any more. */
  close(): void {
    this.#server.close();
    for (const socket of this.#connections) socket.destroy();
  }

  #serve(socket: Socket): void {
    this.#connections.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.#connections.delete(socket);
      void this.#endIfIdle();
    });
    void this.#answerAll(socket);
  }

  async #answerAll(socket: Socket): Promise<void> {
    for await (const line of createInterface({ input: socket })) {
      socket.write(`${JSON.stringify(await this.#answer(line))}\n`);
    }
  }

  async #answer(line: string): Promise<KeeperAnswer> {
    try {
      const request = JSON.parse(line) as KeeperRequest;
      switch (request.kind) {
        case 'acquire':
          return { kind: 'uses', uses: [await this.keeper.acquire(request.choice, request.user)] };
        case 'release':
          await this.keeper.release(request.user, request.rootHash);
          return { kind: 'uses', uses: [] };
        case 'uses':
          return { kind: 'uses', uses: this.keeper.uses };
        case 'record':
        case 'recorded':
        case 'prefetch':
          return { kind: 'files', files: await this.keeper.askForFiles(request) };
      }
    } catch (error) {
      return { kind: 'failed', error: toErrorRecord(error) };
    }
  }

  async #endIfIdle(): Promise<void> {
    if (this.keeper.isEnding) return;
    switch (await this.keeper.end(() => this.#connections.size === 0)) {
      case 'ended':
        this.#server.close();
        break;
      case 'locked':
        setTimeout(() => void this.#endIfIdle(), END_AGAIN_MS);
        break;
      case 'used':
    }
  }
}
