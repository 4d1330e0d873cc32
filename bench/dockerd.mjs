// A Docker engine of its own for one round: own data, own socket, no network, nothing of the machine's engine touched.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { undoLater } from './cleanup.mjs';
import { unmountTree } from './file-systems.mjs';
import { peakMemory, processorSeconds, processTree } from './process-tree.mjs';

/** Debian's programs; another client in the PATH may be too new for this engine. */
export const docker = '/usr/bin/docker';
const dockerd = '/usr/sbin/dockerd';

export const dockerIsInstalled = () => existsSync(docker) && existsSync(dockerd);

/**
 * @param {string} directory holds everything of the engine
 */
export async function startDockerd(directory) {
  const place = (name) => join(directory, name);
  mkdirSync(place('exec'), { recursive: true });
  writeFileSync(place('daemon.json'), '{}');
  const socket = `unix://${place('docker.sock')}`;
  const argv = [
    `--config-file=${place('daemon.json')}`,
    `--data-root=${place('data')}`,
    `--exec-root=${place('exec')}`,
    `--pidfile=${place('docker.pid')}`,
    `--host=${socket}`,
    '--storage-driver=overlay2',
    '--bridge=none',
    '--iptables=false',
    '--ip6tables=false',
    '--log-level=error',
  ];
  const daemon = spawn(dockerd, argv, { stdio: ['ignore', 'ignore', 'pipe'], detached: true });
  let stderr = '';
  daemon.stderr.setEncoding('utf8').on('data', (text) => (stderr += text));
  const ended = new Promise((resolve) => daemon.on('close', resolve));
  const stop = undoLater(async () => {
    daemon.kill('SIGTERM');
    await ended;
    await unmountTree(directory);
  });
  for (let attempt = 0; !existsSync(place('docker.sock')) || !(await answers(place('docker.sock'))); attempt += 1) {
    if (attempt === 300 || daemon.exitCode !== null) {
      await stop();
      throw new Error(`dockerd does not answer\n${stderr}`);
    }
    await sleep(100);
  }
  return {
    socket,
    stop,
    /** Seconds of CPU time of the engine and its children so far. */
    cpu: () => processTree(daemon.pid ?? 0).reduce((sum, pid) => sum + processorSeconds(pid), 0),
    /** Bytes; greatest resident set of the engine so far. */
    memory: () => peakMemory(daemon.pid ?? 0),
  };
}

async function answers(path) {
  const { request } = await import('node:http');
  return new Promise((resolve) => {
    request({ socketPath: path, path: '/_ping' }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    })
      .on('error', () => resolve(false))
      .end();
  });
}
