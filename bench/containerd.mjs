// A containerd of its own for one round: own root, own socket, only the plugins that a pull needs.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { undoLater } from './cleanup.mjs';
import { unmountTree } from './file-systems.mjs';
import { isInstalled, run } from './measure.mjs';
import { peakMemory, processorSeconds, processTree } from './process-tree.mjs';

export const containerdIsInstalled = () => isInstalled('containerd') && isInstalled('ctr');

/** @param {string} directory holds everything of the daemon */
export async function startContainerd(directory) {
  const place = (name) => join(directory, name);
  mkdirSync(directory, { recursive: true });
  const socket = place('containerd.sock');
  const others = [
    'io.containerd.grpc.v1.cri',
    'io.containerd.snapshotter.v1.btrfs',
    'io.containerd.snapshotter.v1.zfs',
  ];
  writeFileSync(
    place('config.toml'),
    [
      'version = 2',
      `root = ${JSON.stringify(place('root'))}`,
      `state = ${JSON.stringify(place('state'))}`,
      `disabled_plugins = ${JSON.stringify(others)}`,
      `[grpc]\naddress = ${JSON.stringify(socket)}`,
    ].join('\n'),
  );
  const daemon = spawn('containerd', ['--config', place('config.toml'), '--log-level', 'error'], {
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  });
  let stderr = '';
  daemon.stderr.setEncoding('utf8').on('data', (text) => (stderr += text));
  const ended = new Promise((resolve) => daemon.on('close', resolve));
  const stop = undoLater(async () => {
    daemon.kill('SIGTERM');
    await ended;
    await unmountTree(directory);
  });
  for (let attempt = 0; !existsSync(socket) || !(await answers(socket)); attempt += 1) {
    if (attempt === 300 || daemon.exitCode !== null) {
      await stop();
      throw new Error(`containerd does not answer\n${stderr}`);
    }
    await sleep(100);
  }
  return {
    socket,
    stop,
    /** Seconds of CPU time of the daemon and its children so far. */
    cpu: () => processTree(daemon.pid ?? 0).reduce((sum, pid) => sum + processorSeconds(pid), 0),
    /** Bytes; greatest resident set of the daemon so far. */
    memory: () => peakMemory(daemon.pid ?? 0),
  };
}

async function answers(socket) {
  try {
    await run(['ctr', '--address', socket, 'version']);
    return true;
  } catch {
    // Asked again until it listens.
    return false;
  }
}
