// A registry on loopback that holds one image, at once or after a delay for each request.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { join } from 'node:path';
import { undoLater } from './cleanup.mjs';
import { cache } from './inputs.mjs';
import { isInstalled, run } from './measure.mjs';

export const registryIsInstalled = () => isInstalled('docker-registry') && isInstalled('skopeo');

/**
 * Starts a docker-registry and puts an image there.
 * @param {import('./inputs.mjs').Image} image
 * @returns {Promise<{ host: string, reference: string, stop: () => Promise<void> }>}
 */
export async function startRegistry(image) {
  const directory = mkdtempSync(join(cache(), 'registry-'));
  const removeDirectory = undoLater(() => rmSync(directory, { recursive: true }));
  const configuration = join(directory, 'config.yml');
  writeFileSync(
    configuration,
    JSON.stringify({
      version: '0.1',
      log: { level: 'info', accesslog: { disabled: true } },
      storage: { filesystem: { rootdirectory: join(directory, 'data') } },
      http: { addr: '127.0.0.1:0' },
    }),
  );
  const daemon = spawn('docker-registry', ['serve', configuration], { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = new Promise((resolve) => daemon.on('close', resolve));
  const stopDaemon = undoLater(async () => {
    daemon.kill('SIGKILL');
    await ended;
  });
  const host = await new Promise((resolve, reject) => {
    let log = '';
    daemon.stderr.setEncoding('utf8').on('data', (text) => {
      log = (log + text).slice(-4000);
      const [, address] = /listening on (127\.0\.0\.1:\d+)/.exec(log) ?? [];
      if (address !== undefined) resolve(address);
    });
    daemon.on('close', () => reject(new Error(`docker-registry ended\n${log}`)));
  });
  const reference = `${host}/bench:latest`;
  await run([
    ...['skopeo', 'copy', '--quiet', '--insecure-policy', '--dest-tls-verify=false'],
    ...[`oci:${image.ociLayout}:latest`, `docker://${reference}`],
  ]);
  const stop = async () => {
    await stopDaemon();
    await removeDirectory();
  };
  return { host, reference, stop };
}

/**
 * Stands before a registry and holds every request back for a while, as a network does.
 * @param {string} host the registry
 * @param {number} milliseconds
 * @returns {Promise<{ host: string, stop: () => Promise<void> }>}
 */
export async function delay(host, milliseconds) {
  const [address = '', port = ''] = host.split(':');
  const server = createServer((asked, response) => {
    const forward = () => {
      const { method, url: path, headers } = asked;
      const behind = request({ host: address, port, method, path, headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      });
      behind.on('error', () => response.destroy());
      response.on('close', () => behind.destroy());
      asked.pipe(behind);
    };
    setTimeout(forward, milliseconds);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  const stop = undoLater(
    () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(resolve);
      }),
  );
  const bound = server.address();
  return { host: `127.0.0.1:${typeof bound === 'object' ? bound?.port : ''}`, stop };
}
