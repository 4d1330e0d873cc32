// A daemon of its own for one round, in a directory that holds everything of it.
import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { undoLater } from './cleanup.mjs';
import { unmountTree } from './file-systems.mjs';
import { measure } from './measure.mjs';
import { peakMemory, processorSeconds, processTree } from './process-tree.mjs';

/**
 * @typedef {object} Daemon
 * @property {() => Promise<void>} stop
 * @property {() => number} cpu seconds of CPU time of the daemon and its children so far
 * @property {() => number} memory bytes, greatest resident set of the daemon so far
 */

/**
 * @param {readonly string[]} argv
 * @param {string} directory what it has mounted below is unmounted in the end
 * @param {() => Promise<boolean>} answers
 * @returns {Promise<Daemon>}
 */
export async function startDaemon([program = '', ...argv], directory, answers) {
  const daemon = spawn(program, argv, { stdio: ['ignore', 'ignore', 'pipe'], detached: true });
  let stderr = '';
  daemon.stderr.setEncoding('utf8').on('data', (text) => (stderr += text));
  const ended = new Promise((resolve) => daemon.on('close', resolve));
  const stop = undoLater(async () => {
    daemon.kill('SIGTERM');
    await ended;
    await unmountTree(directory);
  });
  for (let attempt = 0; !(await answers()); attempt += 1) {
    if (attempt === 300 || daemon.exitCode !== null) {
      await stop();
      throw new Error(`${program} does not answer\n${stderr}`);
    }
    await sleep(100);
  }
  const pid = daemon.pid ?? 0;
  return {
    stop,
    cpu: () => processTree(pid).reduce((sum, one) => sum + processorSeconds(one), 0),
    memory: () => peakMemory(pid),
  };
}

/**
 * Measures a client of a daemon, which does the work; ends the daemon.
 * @param {Daemon} daemon
 * @param {readonly string[]} client
 */
export async function measureWith(daemon, client) {
  try {
    const before = daemon.cpu();
    const sample = await measure(client);
    return { ...sample, cpu: sample.cpu + daemon.cpu() - before, memory: Math.max(sample.memory, daemon.memory()) };
  } finally {
    await daemon.stop();
  }
}
