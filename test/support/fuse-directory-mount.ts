import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { abortFuseMount, nativeSyscalls } from '@layerstore/linux';
import { mountsBelow, type Scratch } from './scratch.js';

const script = fileURLToPath(new URL('fuse-directory-server.mjs', import.meta.url));

/** A directory served through FUSE, by processes of their own. */
export class DirectoryMount implements AsyncDisposable {
  readonly path: string;
  readonly #lines: string[] = [];
  #holder: ReturnType<typeof spawn> | undefined;

  constructor(
    private readonly scratch: Scratch,
    readonly source: string,
  ) {
    this.path = scratch.file('mount');
  }

  async start(threads: number): Promise<this> {
    mkdirSync(this.path, { recursive: true });
    this.#holder = spawn(process.execPath, [script, this.source, this.path, String(threads)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    createInterface({ input: this.#holder.stdout! }).on('line', (line) => this.#lines.push(line));
    await this.#line((lines) => lines.length > 0);
    return this;
  }

  /** The process that serves. */
  get pid(): number {
    return Number(this.#lines.findLast((line) => /^\d+$/.test(line)));
  }

  get failures(): string[] {
    return this.#lines.filter((line) => line.startsWith('failed'));
  }

  /** Kills what serves, and waits until another does. */
  async kill(): Promise<void> {
    const before = this.pid;
    process.kill(before, 'SIGKILL');
    await this.#line(() => this.pid !== before);
  }

  async ended(): Promise<void> {
    if (this.#holder?.exitCode === null) await once(this.#holder, 'exit');
  }

  file(...parts: string[]): string {
    return [this.path, ...parts].join('/');
  }

  async #line(seen: (lines: string[]) => boolean): Promise<void> {
    while (!seen(this.#lines)) {
      if (this.#holder?.exitCode !== null) throw new Error('the server has ended');
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const point of mountsBelow(this.scratch.path).reverse()) {
      if (point === this.path) abortFuseMount(nativeSyscalls(), point);
      else spawnSync('umount', [point]);
    }
    await this.ended();
    this.scratch[Symbol.dispose]();
  }
}
