import { execFile, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { RepositoryConfiguration } from '../configuration/configuration.js';
import { LazyRepositories, type LazyRepositoriesOptions } from '../file-system/lazy-repositories.js';
import { TemporaryDirectory } from './temporary.js';

const execute = promisify(execFile);

/** Runs a line of shell beside this process, which serves the repository meanwhile; its stdout. */
export async function shell(line: string, ...args: readonly string[]): Promise<string> {
  const { stdout } = await execute('bash', ['-c', line, 'bash', ...args], { maxBuffer: 1 << 28 });
  return stdout;
}

/** The same for a line that may fail: its exit status, and what it wrote. */
export async function shellStatus(line: string, ...args: readonly string[]): Promise<{ code: number; text: string }> {
  try {
    return { code: 0, text: await shell(line, ...args) };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, text: stdout + stderr };
  }
}

/** Lazy mounts in a runtime directory of their own; at the end of the block nothing of them is left. */
export class LazyScene implements AsyncDisposable {
  readonly #directory = new TemporaryDirectory();

  path(...parts: string[]): string {
    return join(this.#directory.path, ...parts);
  }

  get runtime(): string {
    return this.path('run');
  }

  mounts(configuration: RepositoryConfiguration, options: Partial<LazyRepositoriesOptions> = {}): LazyRepositories {
    return new LazyRepositories({ configuration: () => configuration, runtimeDirectory: this.runtime, ...options });
  }

  /** What servers wrote into their log, as records. */
  log(): {
    readonly level: string;
    readonly message: string;
    readonly subject?: string;
    readonly error?: { code: string };
  }[] {
    return this.#files('log').flatMap((file) =>
      readFileSync(file, 'utf8')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as ReturnType<LazyScene['log']>[number]),
    );
  }

  /** Processes by the name of their program's file. */
  async processes(script: 'cvmfs-keeper' | 'cvmfs-file-server'): Promise<number[]> {
    const found: number[] = [];
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      if (!commandLine(pid).includes(`${script}.js`)) continue;
      // Of the server: it holds the mount of this scene, by way of its keeper.
      if (await this.#isOurs(pid)) found.push(Number(pid));
    }
    return found;
  }

  async #isOurs(pid: string): Promise<boolean> {
    for (const candidate of [pid, parentOf(pid)]) {
      const line = await shellStatus('ls -l /proc/$1/fd 2>/dev/null; ss -xlp 2>/dev/null | grep "pid=$1,"', candidate);
      if (line.text.includes(this.#directory.path)) return true;
    }
    return false;
  }

  #files(name: string): string[] {
    const directory = join(this.runtime, 'cvmfs');
    if (!existsSync(directory)) return [];
    return readdirSync(directory)
      .map((key) => join(directory, key, name))
      .filter((path) => existsSync(path));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const point of mountsBelow(this.#directory.path).reverse()) {
      // An abort for what is served by FUSE, so that no server outlives a test that failed.
      spawnSync('umount', point.startsWith(this.runtime) ? ['-f', '-l', point] : ['-l', point]);
    }
    for (const pid of await this.processes('cvmfs-keeper')) killed(pid);
    this.#directory[Symbol.dispose]();
  }
}

function mountsBelow(path: string): string[] {
  const points = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return points.map((line) => line.split(' ')[4] ?? '').filter((point) => point.startsWith(`${path}/`));
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

function parentOf(pid: string): string {
  try {
    return /^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '0';
  } catch {
    return '0';
  }
}

function killed(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}
