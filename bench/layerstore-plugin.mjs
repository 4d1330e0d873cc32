// The Docker plugin of this clone, for one round, and what it costs.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { undoLater } from './cleanup.mjs';
import { layerstore } from './peers.mjs';
import { processorSeconds } from './process-tree.mjs';

/** dockerd looks for discovery files here only. */
const discovery = '/etc/docker/plugins';

/**
 * @param {string} directory holds the socket and the state
 * @param {string} driver
 */
export async function startPlugin(directory, driver) {
  mkdirSync(directory, { recursive: true });
  const socket = join(directory, 'plugin.sock');
  const name = `lsbench${process.pid}`;
  const [program = '', ...argv] = layerstore;
  const child = spawn(
    program,
    [...argv, 'serve', 'docker', '--socket', socket, '--driver', driver, '--state-dir', join(directory, 'state')],
    { stdio: ['ignore', 'ignore', 'pipe'], detached: true },
  );
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text));
  const ended = new Promise((resolve) => child.on('close', resolve));
  mkdirSync(discovery, { recursive: true });
  writeFileSync(join(discovery, `${name}.spec`), `unix://${socket}`);
  const stop = undoLater(async () => {
    child.kill('SIGTERM');
    await ended;
    rmSync(join(discovery, `${name}.spec`), { force: true });
  });
  for (let attempt = 0; !existsSync(socket); attempt += 1) {
    if (attempt === 300 || child.exitCode !== null) {
      await stop();
      throw new Error(`the plugin does not serve\n${stderr}`);
    }
    await sleep(50);
  }
  return {
    name,
    socket,
    stop,
    /** Seconds of CPU time so far. */
    cpu: () => processorSeconds(child.pid ?? 0),
  };
}
