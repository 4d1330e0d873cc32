/** Runs operations of test/crash/victim.mjs, and kills some of them at a random moment. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const victim = fileURLToPath(new URL('../crash/victim.mjs', import.meta.url));

export interface Outcome {
  readonly operation: readonly string[];
  /** `done`: it exited with 0, so what it did must last. */
  readonly end: 'done' | 'failed' | 'killed';
  readonly stderr: string;
}

/** How long each verb took when it was last left alone, in milliseconds. */
const durations = new Map<string, number>();

export interface VictimOptions {
  readonly root: string;
  readonly driver: string;
  /** Whether it is killed at a random moment of the time that it takes; it may be done before. */
  readonly kill: 'randomly' | 'never';
}

export async function runVictim(operation: readonly string[], options: VictimOptions): Promise<Outcome> {
  const { child, ended } = startVictim(operation, options);
  if (options.kill === 'randomly') {
    const [verb = ''] = operation;
    // The first third of that time goes to starting Node.
    await Promise.race([sleep((0.3 + Math.random() * 0.8) * (durations.get(verb) ?? 600)), ended]);
    child.kill('SIGKILL');
  }
  return ended;
}

/** Starts an operation; `ended` gives its outcome. */
export function startVictim(
  operation: readonly string[],
  { root, driver }: Pick<VictimOptions, 'root' | 'driver'>,
): { child: ChildProcess; ended: Promise<Outcome> } {
  const started = Date.now();
  const child = spawn(process.execPath, [victim, root, driver, '0', ...operation], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  return { child, ended: outcomeOf(child, operation, started) };
}

async function outcomeOf(child: ChildProcess, operation: readonly string[], started: number): Promise<Outcome> {
  let stderr = '';
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  const end = code === 0 ? 'done' : signal === 'SIGKILL' ? 'killed' : 'failed';
  if (end === 'done') durations.set(operation[0] ?? '', Date.now() - started);
  return { operation, end, stderr };
}
