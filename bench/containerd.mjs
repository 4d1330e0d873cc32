// A containerd of its own for one round: own root, own socket, only the plugins that a pull needs.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startDaemon } from './daemon.mjs';
import { isInstalled, run } from './measure.mjs';

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
  const argv = ['containerd', '--config', place('config.toml'), '--log-level', 'error'];
  const daemon = await startDaemon(argv, directory, async () => existsSync(socket) && (await answers(socket)));
  return { ...daemon, socket };
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
