// A containerd of its own for one round, with the stock overlayfs snapshotter, and layerstore as a proxy plugin, synced and not; nothing of the
// machine's containerd is touched.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { undoLater } from './cleanup.mjs';
import { unmountTree } from './file-systems.mjs';
import { isInstalled, measure, run } from './measure.mjs';
import { layerstore } from './peers.mjs';
import { processorSeconds, processTree } from './process-tree.mjs';

export const containerdIsInstalled = () => ['containerd', 'ctr', 'runc'].every(isInstalled);

/** Snapshotters by the name that `--snapshotter` takes, and the arguments of their servers. */
const servers = { layerstore: [], unsynced: ['--no-sync'] };

/**
 * @param {string} directory holds everything of it
 */
export async function startContainerd(directory) {
  mkdirSync(directory, { recursive: true });
  const place = (name) => join(directory, name);
  const daemons = [];
  for (const [name, argv] of Object.entries(servers)) {
    const options = ['--root', place(name), '--socket', place(`${name}.sock`), ...argv];
    daemons.push(
      await startDaemon([...layerstore, 'serve', 'containerd', ...options], () => existsSync(place(`${name}.sock`))),
    );
  }
  writeFileSync(place('config.toml'), configuration(place));
  const ctr = (...argv) => run(['ctr', '--address', place('c.sock'), ...argv]);
  const answers = () =>
    ctr('version').then(
      () => true,
      () => false,
    );
  daemons.push(await startDaemon(['containerd', '--config', place('config.toml')], answers));
  const stop = undoLater(async () => {
    for (const daemon of daemons.reverse()) await daemon.stop();
    await unmountTree(directory);
  });
  /** Measures a client: what the daemons work meanwhile is counted with it. */
  const measureClient = async (argv) => {
    const cpu = () => daemons.reduce((sum, daemon) => sum + daemon.cpu(), 0);
    const before = cpu();
    const sample = await measure(argv);
    return { ...sample, cpu: sample.cpu + cpu() - before };
  };
  return { ctr, socket: place('c.sock'), direct: (name) => place(`${name}.sock`), measureClient, stop };
}

/**
 * @param {readonly string[]} command
 * @param {() => boolean | Promise<boolean>} ready
 * @returns {Promise<{ stop: () => Promise<void>, cpu: () => number }>} `stop` ends it; `cpu`: seconds that it and its children have used
 */
export async function startDaemon([program = '', ...argv], ready) {
  const daemon = spawn(program, argv, { stdio: ['ignore', 'ignore', 'pipe'], detached: true });
  let stderr = '';
  daemon.stderr.setEncoding('utf8').on('data', (text) => (stderr = (stderr + text).slice(-4000)));
  // A program that is not there: told by the error below, after everything was put away.
  daemon.on('error', (error) => (stderr += error.message));
  const ended = new Promise((resolve) => daemon.on('close', resolve));
  const stop = undoLater(async () => {
    daemon.kill('SIGTERM');
    await ended;
  });
  for (let attempt = 0; !(await ready()); attempt += 1) {
    if (attempt === 300 || daemon.exitCode !== null) {
      await stop();
      throw new Error(`${program} does not answer\n${stderr}`);
    }
    await sleep(100);
  }
  return { stop, cpu: () => processTree(daemon.pid).reduce((sum, pid) => sum + processorSeconds(pid), 0) };
}

function configuration(place) {
  const off = ['devmapper', 'btrfs', 'zfs', 'aufs'].map((name) => `io.containerd.snapshotter.v1.${name}`);
  const proxies = Object.keys(servers).map(
    (name) => `[proxy_plugins.${name}]\n  type = "snapshot"\n  address = ${JSON.stringify(place(`${name}.sock`))}\n`,
  );
  return `version = 2
root = ${JSON.stringify(place('root'))}
state = ${JSON.stringify(place('state'))}
disabled_plugins = ${JSON.stringify([...off, 'io.containerd.grpc.v1.cri', 'io.containerd.internal.v1.opt'])}
[grpc]
  address = ${JSON.stringify(place('c.sock'))}
[ttrpc]
  address = ${JSON.stringify(place('t.sock'))}
${proxies.join('')}`;
}
