import { execFileSync } from 'node:child_process';
import type { TestContext } from 'vitest';
import { hasProgram } from './scratch.js';

/** Skips a test, saying why, where a program is missing. */
export function need(context: TestContext, ...programs: readonly string[]): void {
  const absent = programs.filter((program) => !hasProgram(program));
  if (absent.length > 0) context.skip(`${absent.join(' and ')} not installed`);
}

export function run(program: string, ...argv: readonly string[]): string {
  return execFileSync(program, argv, { encoding: 'utf8', stdio: 'pipe' });
}
