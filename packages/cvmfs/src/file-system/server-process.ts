import { spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { fromErrorRecord, StoreError } from '@layerstore/core';
import { serverDescriptors, type ServerAnswer, type ServerRequest, type ServerValue } from './messages.js';

const serverScript = fileURLToPath(new URL('../../dist/workers/cvmfs-file-server.js', import.meta.url));

/** A request as it is made; its number is added. */
type Unnumbered<T> = T extends unknown ? Omit<T, 'id'> : never;

interface Waiting {
  readonly resolve: (value: ServerValue) => void;
  readonly reject: (error: unknown) => void;
}

/** A running server, as its keeper sees it. */
export class ServerProcess {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  #last = 0;

  /** @param ended how: `done` when the mount has gone */
  constructor(
    descriptors: { readonly device: number; readonly nodes: number; readonly backing: number },
    ended: (how: 'done' | 'killed') => void,
  ) {
    const { device, nodes, backing } = descriptors;
    const stdio: ('ignore' | 'ipc' | number)[] = ['ignore', 'ignore', 'ignore'];
    stdio[serverDescriptors.device] = device;
    stdio[serverDescriptors.nodes] = nodes;
    stdio[serverDescriptors.backing] = backing;
    stdio.push('ipc');
    this.#child = spawn(process.execPath, ['--no-warnings', serverScript], { stdio, env: {}, cwd: '/' });
    this.#child.on('message', (answer: ServerAnswer) => this.#settle(answer));
    this.#child.on('error', (error) => this.#fail(error));
    this.#child.on('exit', (code) => {
      this.#fail(new StoreError('ERR_CLOSED', 'the file server was killed', { hint: 'try again: another is started' }));
      ended(code === 0 ? 'done' : 'killed');
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** @throws StoreError what the server answers; ERR_CLOSED when it is killed meanwhile */
  ask(request: Unnumbered<ServerRequest>): Promise<ServerValue> {
    this.#last += 1;
    const id = this.#last;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child.send({ ...request, id }, (error) => {
        if (error !== null) this.#take(id)?.reject(error);
      });
    });
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  #settle(answer: ServerAnswer): void {
    const waiting = this.#take(answer.id);
    if ('error' in answer) waiting?.reject(fromErrorRecord(answer.error));
    else waiting?.resolve(answer.value);
  }

  #take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    return waiting;
  }

  #fail(error: unknown): void {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
