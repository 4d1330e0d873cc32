/**
 * The init process of a run (see `runInRoot`): it enters the root, starts the program, says how it ended and ends.
 *
 * The channel to the parent is all that keeps it alive. When the parent goes, by kill -9 too, the channel closes, this
 * process ends, and the kernel kills whatever runs in its PID namespace.
 */
import { StoreError, toErrorRecord } from '@layerstore/core';
import { spawn } from 'node:child_process';
import { statSync } from 'node:fs';
import { nativeSyscalls } from '../native-syscalls.js';
import { closeOnExecFrom } from '../run/close-on-exec.js';
import { enterRoot } from '../run/enter-root.js';
import type { InitAnswer, InitRequest, InitRun } from '../run/init-messages.js';
import { orphanReaper } from '../run/reap-orphans.js';

function answer(message: InitAnswer): void {
  process.send?.(message, () => process.disconnect());
}

function start(run: InitRun): { terminate: () => void } {
  closeOnExecFrom(3);
  const reapOrphans = orphanReaper();
  enterRoot(nativeSyscalls(), run.root, run.hostname);
  if (statSync(run.workingDirectory, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new StoreError('ERR_NOT_FOUND', 'the working directory does not exist in the root', {
      subject: run.workingDirectory,
    });
  }
  const [file, ...args] = run.command;
  const program = spawn(file, args, {
    cwd: run.workingDirectory,
    env: run.environment,
    stdio: 'inherit',
    ...run.user,
  });
  program.unref();
  program.on('error', (error: NodeJS.ErrnoException) => answer({ kind: 'not executed', code: error.code ?? '' }));
  program.on('exit', (exitCode, signal) => answer({ kind: 'ended', exitCode, signal }));
  process.on('SIGCHLD', () => reapOrphans(program.pid));
  return { terminate: () => program.kill('SIGTERM') };
}

let running: { terminate: () => void } | undefined;

process.on('message', (request: InitRequest) => {
  if (request.kind === 'terminate') {
    running?.terminate();
    return;
  }
  try {
    running = start(request.run);
  } catch (error) {
    answer({ kind: 'failed', error: toErrorRecord(error) });
  }
});
