import { Finished, report } from '../failures.js';
import type { Session } from '../session.js';

/**
 * Does the same with every name, as rm(1) does: a name that fails is reported and the others still have their turn.
 * The exit status is that of the first failure.
 */
export async function eachName(
  session: Session,
  names: readonly string[],
  work: (name: string) => Promise<void>,
): Promise<void> {
  let exitCode = 0;
  for (const name of names) {
    try {
      await work(name);
    } catch (error) {
      if (session.signal.aborted || names.length === 1) throw error;
      const code = report(error, process.stderr, { stack: session.logLevel === 'debug' });
      exitCode ||= code;
    }
  }
  if (exitCode !== 0) throw new Finished(exitCode);
}
