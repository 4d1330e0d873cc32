import { fromErrorRecord, fromSystemError, StoreError, throwIfAborted } from '@layerstore/core';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { realpathSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import type { Readable } from 'node:stream';
import { hasErrno } from '../native/errno.js';
import { nativeSyscalls } from '../native-syscalls.js';
import { requireLinuxRoot } from '../system.js';
import type { InitAnswer, InitRequest, InitRun } from './init-messages.js';
import { startInit } from './init-process.js';
import { MountPoints } from './mount-points.js';

export interface RunInRootOptions {
  /** Absolute path of the directory that the program sees as `/`. */
  readonly root: string;
  /** Program and arguments; a program without a slash is looked for in the PATH of `environment`, inside the root. */
  readonly command: readonly string[];
  /** All of it: nothing is inherited. */
  readonly environment: Readonly<Record<string, string>>;
  /** Absolute path inside the root; default `/`. */
  readonly workingDirectory?: string;
  /** Default: root. Supplementary groups are dropped. */
  readonly user?: { readonly uid: number; readonly gid: number };
  /**
   * `inherit`, the default: this process's own terminal or files. `pipe`: `input` goes in, the result holds what came
   * out.
   */
  readonly stdio?: 'inherit' | 'pipe';
  /** With `pipe`: what the program reads; default nothing. */
  readonly input?: string | Uint8Array;
  /** Sends SIGTERM, and SIGKILL to everything inside after `graceMs`. */
  readonly signal?: AbortSignal;
  /** Milliseconds; default 5000. */
  readonly graceMs?: number;
  /** Gives the program a host name of its own. */
  readonly hostname?: string;
}

export interface RunInRootResult {
  /**
   * The program's own; 128 + n when signal n ended it; 127 when it was not found, 126 when it could not be executed.
   */
  readonly exitCode: number;
  readonly signal?: string;
  /** Why the program was not executed, with 126 and 127: for the caller to print. */
  readonly reason?: string;
  /** With `stdio: 'pipe'`, decoded as UTF-8. */
  readonly stdout?: string;
  readonly stderr?: string;
}

/** What `pipe` keeps of each stream; a program that writes more is ended. */
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

/**
 * Runs a program in a directory as if that were the whole system: own mount and PID namespace, the directory as root,
 * with fresh `/proc`, read-only `/sys`, a small `/dev`, and the host's network and resolv.conf.
 *
 * A convenience for trusted programs, **not a security boundary**: the program is root with all capabilities, in the
 * host's network and without limits.
 *
 * Everything inside ends with the program, and with this process, kill -9 included; its mounts are in no other
 * namespace and go with it. Directories for the mounts that the root lacks are made for the time of the run. Signals
 * from the terminal reach this process as well: a command line ignores SIGINT meanwhile. Costs 0.1 s and a second Node
 * process.
 * @throws StoreError ERR_INVALID_ARGUMENT for an empty command, or paths that are not absolute
 * @throws StoreError ERR_NOT_FOUND when the root or the working directory does not exist
 * @throws StoreError ERR_ABORTED once the program has been ended because of `signal`
 * @throws StoreError ERR_LIMIT_EXCEEDED when more than 64 MiB are written to a pipe
 * @throws StoreError ERR_NEEDS_ROOT, ERR_UNSUPPORTED_PLATFORM, ERR_MISSING_PREREQUISITE
 */
export async function runInRoot(options: RunInRootOptions): Promise<RunInRootResult> {
  requireLinuxRoot('running a program in a root directory');
  throwIfAborted(options.signal);
  const run = checkedRun(options);
  try {
    const points = await MountPoints.make(nativeSyscalls(), run.root);
    try {
      return await runInside(run, options);
    } finally {
      points[Symbol.dispose]();
    }
  } catch (error) {
    throw fromSystemError(error, run.root);
  }
}

async function runInside(run: InitRun, options: RunInRootOptions): Promise<RunInRootResult> {
  const init = startInit(nativeSyscalls(), options.stdio ?? 'inherit');
  const stop = new Stop(init, options.graceMs ?? 5000);
  options.signal?.addEventListener('abort', stop.begin, { once: true });
  try {
    let answer: InitAnswer | undefined;
    init.on('message', (message: InitAnswer) => {
      answer = message;
    });
    const stdout = new Output(init.stdout, init);
    const stderr = new Output(init.stderr, init);
    feed(init, options.input);
    tell(init, { kind: 'start', run });
    // The answer may still be in the channel when the process has ended.
    await Promise.all([once(init, 'close'), once(init, 'disconnect')]);
    throwIfAborted(options.signal);
    return { ...resultOf(answer, init, run.command[0]), ...textOf(stdout, 'stdout'), ...textOf(stderr, 'stderr') };
  } finally {
    options.signal?.removeEventListener('abort', stop.begin);
    stop[Symbol.dispose]();
  }
}

function checkedRun(options: RunInRootOptions): InitRun {
  const [file, ...args] = options.command;
  const { workingDirectory = '/', environment, user, hostname } = options;
  if (file === undefined || file === '') throw new StoreError('ERR_INVALID_ARGUMENT', 'no command was given');
  for (const path of [options.root, workingDirectory]) {
    if (!path.startsWith('/')) throw new StoreError('ERR_INVALID_ARGUMENT', 'not an absolute path', { subject: path });
  }
  const texts = [workingDirectory, ...options.command, ...Object.entries(environment).flat()];
  if (texts.some((text) => text.includes('\0'))) {
    throw new StoreError('ERR_INVALID_ARGUMENT', 'NUL in the command, its environment or its working directory');
  }
  return {
    root: existingDirectory(options.root),
    command: [file, ...args],
    environment,
    workingDirectory,
    ...(user === undefined ? {} : { user }),
    ...(hostname === undefined ? {} : { hostname }),
  };
}

function existingDirectory(path: string): string {
  try {
    const real = realpathSync(path);
    if (real === '/') throw new StoreError('ERR_INVALID_ARGUMENT', 'this is the root already', { subject: path });
    if (statSync(real).isDirectory()) return real;
  } catch (error) {
    if (!hasErrno(error, 'ENOENT', 'ENOTDIR')) throw fromSystemError(error, path);
  }
  throw new StoreError('ERR_NOT_FOUND', 'the root is not a directory', { subject: path });
}

function resultOf(answer: InitAnswer | undefined, init: ChildProcess, file: string): RunInRootResult {
  switch (answer?.kind) {
    case 'ended':
      return endedResult(answer.exitCode, answer.signal);
    case 'not executed':
      return answer.code === 'ENOENT'
        ? { exitCode: 127, reason: `${file}: not found in the root` }
        : { exitCode: 126, reason: `${file}: cannot be executed (${answer.code})` };
    case 'failed':
      throw fromErrorRecord(answer.error);
    case undefined:
      // Only from outside: by the kernel for want of memory, or by a person.
      if (init.signalCode !== null) return endedResult(null, init.signalCode);
      throw new StoreError('ERR_INTERNAL', `the init process ended with ${init.exitCode} and no answer`);
  }
}

function endedResult(exitCode: number | null, signal: NodeJS.Signals | null): RunInRootResult {
  if (signal === null) return { exitCode: exitCode ?? 0 };
  return { exitCode: 128 + constants.signals[signal], signal };
}

function tell(init: ChildProcess, request: InitRequest): void {
  // It may have ended already; what became of it is learnt from its end.
  if (init.connected) init.send(request, () => undefined);
}

function feed(init: ChildProcess, input: string | Uint8Array | undefined): void {
  // EPIPE: a program need not read its input.
  init.stdin?.on('error', () => undefined);
  init.stdin?.end(input);
}

/** Asks the program to end, and after some time ends everything inside. */
class Stop implements Disposable {
  #timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly init: ChildProcess,
    private readonly graceMs: number,
  ) {}

  readonly begin = (): void => {
    tell(this.init, { kind: 'terminate' });
    this.#timer = setTimeout(() => this.init.kill('SIGKILL'), this.graceMs);
  };

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}

class Output {
  readonly #chunks: Buffer[] = [];
  #size = 0;

  constructor(
    readonly stream: Readable | null,
    init: ChildProcess,
  ) {
    stream?.on('data', (chunk: Buffer) => {
      this.#size += chunk.length;
      if (this.tooLarge) init.kill('SIGKILL');
      else this.#chunks.push(chunk);
    });
  }

  get tooLarge(): boolean {
    return this.#size > MAX_OUTPUT_BYTES;
  }

  get text(): string {
    return Buffer.concat(this.#chunks).toString('utf8');
  }
}

function textOf(output: Output, name: 'stdout' | 'stderr'): Partial<Record<'stdout' | 'stderr', string>> {
  if (output.stream === null) return {};
  if (output.tooLarge) {
    throw new StoreError('ERR_LIMIT_EXCEEDED', `more than ${MAX_OUTPUT_BYTES} bytes were written to ${name}`);
  }
  return { [name]: output.text };
}
