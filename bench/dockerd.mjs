// A Docker engine of its own for one round: own data, own socket, no network, nothing of the machine's engine touched.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { undoLater } from './cleanup.mjs';
import { unmountTree } from './file-systems.mjs';

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

function processTree(root) {
  const children = new Map();
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const parent = Number(statFields(pid)?.[1]);
    children.set(parent, [...(children.get(parent) ?? []), Number(pid)]);
  }
  const found = [root];
  for (const pid of found) found.push(...(children.get(pid) ?? []));
  return found;
}

/** Fields of /proc/PID/stat after the program's name, which may hold anything; undefined when the process has ended. */
function statFields(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch (error) {
    if (error.code === 'ENOENT' || error.code === 'ESRCH') return undefined;
    throw error;
  }
}

/** User and system time, of the process and of its children that it has waited for; Linux counts in 1/100 s. */
function processorSeconds(pid) {
  const ticks = statFields(pid)?.slice(11, 15).map(Number) ?? [];
  return ticks.reduce((sum, count) => sum + count, 0) / 100;
}

function peakMemory(pid) {
  const line = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(line?.[1] ?? NaN) * 1024;
}
