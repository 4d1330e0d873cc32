// A Docker engine of its own for one round: own data, own socket, no network, nothing of the machine's engine touched.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startDaemon } from './daemon.mjs';

/** Debian's programs; another client in the PATH may be too new for this engine. */
export const docker = '/usr/bin/docker';
const dockerd = '/usr/sbin/dockerd';

export const dockerIsInstalled = () => existsSync(docker) && existsSync(dockerd);

/**
 * @param {string} directory holds everything of the engine
 * @param {{ driver?: string, arguments?: readonly string[] }} [options] `driver`: overlay2, or the name of a plugin
 */
export async function startDockerd(directory, { driver = 'overlay2', arguments: further = [] } = {}) {
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
    `--storage-driver=${driver}`,
    '--bridge=none',
    '--iptables=false',
    '--ip6tables=false',
    '--log-level=error',
    ...further,
  ];
  const path = place('docker.sock');
  const daemon = await startDaemon(
    [dockerd, ...argv],
    directory,
    async () => existsSync(path) && (await answers(path)),
  );
  return { ...daemon, socket };
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
