// What must be undone whatever way the run ends: mounts, daemons, directories.

/** @type {Map<symbol, () => unknown>} newest last */
const pending = new Map();

/**
 * Remembers how to undo something. Call the result to undo it now; at the end of the process, also by Ctrl-C, the rest is
 * undone, newest first.
 * @param {() => unknown} undo
 * @returns {() => Promise<void>}
 */
export function undoLater(undo) {
  const key = Symbol('undo');
  pending.set(key, undo);
  return async () => {
    if (!pending.delete(key)) return;
    await undo();
  };
}

async function undoEverything() {
  for (const [key, undo] of [...pending].reverse()) {
    if (!pending.delete(key)) continue;
    try {
      await undo();
    } catch (error) {
      process.stderr.write(`bench: cannot clean up: ${error instanceof Error ? error.message : String(error)}\n`);
    }
  }
}

/**
 * Runs the benchmark and cleans up after it, also when it fails or a signal ends it.
 * @param {() => Promise<void>} benchmark
 */
export async function runAndCleanUp(benchmark) {
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ]) {
    process.on(String(signal), () => {
      process.stderr.write(`bench: ${signal}: cleaning up\n`);
      void undoEverything().then(() => process.exit(Number(code)));
    });
  }
  try {
    await benchmark();
  } finally {
    await undoEverything();
  }
}
