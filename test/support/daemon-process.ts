import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

export interface DaemonOptions {
  readonly program: string;
  readonly argv: readonly string[];
  /** File that takes its output. */
  readonly log: string;
  /** Says whether it can be used. */
  readonly ready: () => boolean;
  readonly environment?: NodeJS.ProcessEnv;
}

/** A daemon that a test starts: ended by its own pid, never by its name. */
export class DaemonProcess implements AsyncDisposable {
  private constructor(
    private readonly child: ChildProcess,
    private readonly log: string,
  ) {}

  static async start(options: DaemonOptions): Promise<DaemonProcess> {
    const log = openSync(options.log, 'a');
    const child = spawn(options.program, options.argv, {
      stdio: ['ignore', log, log],
      env: { ...process.env, ...options.environment },
    });
    closeSync(log);
    const daemon = new DaemonProcess(child, options.log);
    for (let waited = 0; !options.ready(); waited += 25) {
      if (child.exitCode !== null || child.signalCode !== null || waited > 30_000) {
        child.kill('SIGKILL');
        throw new Error(`${options.program} does not start: ${daemon.output().slice(-4000)}`);
      }
      await delay(25);
    }
    return daemon;
  }

  get pid(): number {
    return this.child.pid ?? -1;
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  output(): string {
    return existsSync(this.log) ? readFileSync(this.log, 'utf8') : '';
  }

  /** Sends a signal and waits for the end. @returns the exit status, or the signal that ended it */
  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | NodeJS.Signals | null> {
    if (this.running) {
      const exited = once(this.child, 'exit');
      this.child.kill(signal);
      await exited;
    }
    return this.child.exitCode ?? this.child.signalCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
  }
}
