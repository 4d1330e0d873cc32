import { execFileSync } from 'node:child_process';

/**
 * Why the tests with a program cannot run here, to be shown in their title; undefined when they can.
 * @param user whom the program wants to be run by
 */
export function reasonToSkip(program: string, user: 'anyone' | 'root'): string | undefined {
  try {
    execFileSync(program, ['--version'], { stdio: 'ignore' });
  } catch {
    return `skipped: ${program} is not installed`;
  }
  return user === 'anyone' || process.getuid?.() === 0 ? undefined : `skipped: ${program} needs root here`;
}

/** Runs a program to its end and returns what it printed. */
export function run(program: string, args: readonly string[], temporary: string): string {
  return execFileSync(program, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 240_000,
    env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: temporary, TMPDIR: temporary },
  });
}
