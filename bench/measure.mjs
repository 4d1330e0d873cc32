// One sample of one program: wall time, CPU time and greatest resident memory, of the program and all that it started.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { undoLater } from './cleanup.mjs';
import { busySeconds } from './rounds.mjs';

/**
 * @typedef {object} Sample
 * @property {number} wall seconds
 * @property {number} cpu seconds, user and system
 * @property {number} memory bytes, greatest resident set of any one process
 * @property {number} busy seconds that the processors worked meanwhile, for whatever program
 */

/**
 * Runs a program under GNU time. A small program stands between this process and the measured one because Linux lets a
 * program inherit the greatest resident set of the process that forked it.
 * @param {readonly string[]} argv
 * @param {{ env?: NodeJS.ProcessEnv, cwd?: string }} [options]
 * @returns {Promise<Sample>}
 * @throws Error with the program's stderr when it does not exit with 0
 */
export async function measure(argv, options = {}) {
  const directory = mkdtempSync(join(tmpdir(), 'layerstore-bench-time-'));
  const remove = undoLater(() => rmSync(directory, { recursive: true }));
  const report = join(directory, 'report');
  const busyBefore = busySeconds();
  const started = process.hrtime.bigint();
  await run(['/usr/bin/time', '--quiet', '-f', '%U %S %M', '-o', report, ...argv], options);
  const wall = Number(process.hrtime.bigint() - started) / 1e9;
  const busy = busySeconds() - busyBefore;
  const [user = NaN, system = NaN, kibibytes = NaN] = readFileSync(report, 'utf8').trim().split(' ').map(Number);
  await remove();
  return { wall, cpu: user + system, memory: kibibytes * 1024, busy };
}

/**
 * Times a call in this process.
 * @param {() => Promise<unknown>} call
 * @returns {Promise<Sample>} `cpu` counts every thread; `memory` is this process's
 */
export async function measureCall(call) {
  const before = process.cpuUsage();
  const busyBefore = busySeconds();
  const started = process.hrtime.bigint();
  await call();
  const wall = Number(process.hrtime.bigint() - started) / 1e9;
  const { user, system } = process.cpuUsage(before);
  const busy = busySeconds() - busyBefore;
  return { wall, cpu: (user + system) / 1e6, memory: process.resourceUsage().maxRSS * 1024, busy };
}

/**
 * Runs a program to its end, without blocking signals of this process.
 * @param {readonly string[]} argv
 * @param {{ env?: NodeJS.ProcessEnv, cwd?: string }} [options]
 * @returns {Promise<string>} what it wrote to stdout
 */
export async function run([program = '', ...argv], options = {}) {
  // A process group of its own, so that whatever the program started ends with it.
  const child = spawn(program, argv, { stdio: ['ignore', 'pipe', 'pipe'], detached: true, ...options });
  let killed = false;
  const forget = undoLater(() => {
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
    killed = true;
    process.kill(-child.pid, 'SIGKILL');
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text));
  const [code, signal] = await new Promise((resolve, reject) => {
    child.on('error', reject).on('close', (...end) => resolve(end));
  });
  // The cleaning up ends this process; whoever waits for the program must not clean up beside it.
  if (killed) await new Promise(() => undefined);
  await forget();
  if (code === 0) return stdout;
  throw new Error(`${program} ${argv.join(' ')}: ended with ${signal ?? code}\n${stderr.slice(-2000)}`);
}

/** @param {string} program */
export function isInstalled(program) {
  return spawnSync('sh', ['-c', 'command -v "$1"', 'sh', program]).status === 0;
}

/**
 * @param {readonly number[]} values
 * @returns {{ median: number, minimum: number, maximum: number }}
 */
export function summary(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const median = ((sorted[Math.ceil(middle) - 1] ?? NaN) + (sorted[Math.floor(middle)] ?? NaN)) / 2;
  return { median, minimum: sorted[0] ?? NaN, maximum: sorted.at(-1) ?? NaN };
}
