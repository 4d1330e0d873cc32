import { spawn } from 'node:child_process';
import { accessSync, constants, createWriteStream } from 'node:fs';
import { delimiter, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { fromSystemError, StoreError, throwIfAborted } from '@layerstore/core';

export interface ToolOptions {
  readonly signal: AbortSignal;
  /** Added to this process's environment. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Writes stdout into this file instead of returning it. */
  readonly outputFile?: string;
  /** Called with every line of stderr. */
  readonly onMessage?: (line: string) => void;
}

const millisecondsToEnd = 10_000;

/** Whether a program is in PATH. */
export function hasTool(name: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, name), constants.X_OK);
      return true;
    } catch {
      // Not in this directory: the next one is looked at.
      return false;
    }
  });
}

/**
 * Runs a program to its end and returns its stdout.
 *
 * It gets a process group of its own, which is ended as a whole when `signal` aborts: a program that still writes
 * would make files again in the directory that is being removed.
 * @throws StoreError ERR_MISSING_PREREQUISITE when it fails or is not there, ERR_ABORTED
 */
export async function runTool(program: string, args: readonly string[], options: ToolOptions): Promise<Buffer> {
  throwIfAborted(options.signal);
  const child = spawn(program, args, {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...options.environment },
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  const messages: string[] = [];
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    for (const line of text.split('\n').filter((part) => part.trim() !== '')) {
      messages.push(line);
      options.onMessage?.(line);
    }
  });
  const output: Buffer[] = [];
  const written =
    options.outputFile === undefined
      ? void child.stdout.on('data', (chunk: Buffer) => output.push(chunk))
      : pipeline(child.stdout, createWriteStream(options.outputFile, { flags: 'wx', mode: 0o600 }));
  const stop = (): void => void endGroup(child.pid, 'SIGTERM');
  options.signal.addEventListener('abort', stop);
  try {
    const [code] = await Promise.all([ended, written]);
    throwIfAborted(options.signal);
    if (code === 0) return Buffer.concat(output);
    throw new StoreError(
      'ERR_MISSING_PREREQUISITE',
      `failed: ${messages.slice(-3).join('; ') || `exit ${String(code)}`}`,
      {
        subject: program,
      },
    );
  } catch (error) {
    // A program that is being ended fails in its own ways.
    throwIfAborted(options.signal);
    throw fromSystemError(error, program);
  } finally {
    options.signal.removeEventListener('abort', stop);
    await groupHasEnded(child.pid);
  }
}

async function groupHasEnded(leader: number | undefined): Promise<void> {
  for (let waited = 0; endGroup(leader, 0); waited += 20) {
    if (waited % 1000 === 0) endGroup(leader, waited < millisecondsToEnd ? 'SIGTERM' : 'SIGKILL');
    await delay(20);
  }
}

/** Signals a process group; false when no process of it is left. */
function endGroup(leader: number | undefined, signal: NodeJS.Signals | 0): boolean {
  if (leader === undefined) return false;
  try {
    return process.kill(-leader, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}
