/** `layerstore thin ...`: a repository is made, published to, and read back by `layerstore cvmfs`. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join, normalize } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CommandLine, type Ended } from './support/command.js';
import { makeDockerArchive, type TestImage } from './support/image.js';
import { isRoot, mountsBelow, Scratch } from './support/scratch.js';

const name = 'images.example.org';

describe.skipIf(!isRoot)('thin (needs root, for the owners of files)', () => {
  let scratch: Scratch;
  let layerstore: CommandLine;
  let server: Server;
  let image: TestImage;
  let publisher: readonly string[];

  beforeAll(async () => {
    scratch = new Scratch('thin', '/dev/shm');
    layerstore = new CommandLine(scratch.file('root'));
    publisher = ['--name', name, '--directory', scratch.file(name), '--keys', scratch.file('keys')];
    writeFileSync(scratch.file('key.pub'), layerstore.succeed('thin', 'init', ...publisher));
    image = makeDockerArchive(
      scratch.path,
      [
        (directory) => {
          mkdirSync(join(directory, 'etc'));
          writeFileSync(join(directory, 'etc/motd'), 'welcome\n');
          writeFileSync(join(directory, 'etc/gone'), 'lower\n');
        },
        (directory) => {
          mkdirSync(join(directory, 'etc'));
          writeFileSync(join(directory, 'etc/.wh.gone'), '');
        },
      ],
      { config: { Cmd: ['/bin/sh'], Env: ['COLOUR=amber'] } },
    );
    server = createServer((request, response) => {
      try {
        response.end(
          readFileSync(normalize(scratch.file(new URL(request.url ?? '/', 'http://host').pathname.slice(1)))),
        );
      } catch {
        response.writeHead(404).end();
      }
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
  });
  afterAll(async () => {
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
    scratch[Symbol.dispose]();
  });

  const layerPath = (diffId: string): string => `.layers/${diffId.slice(7, 9)}/${diffId.slice(7)}/layerfs`;

  const cvmfs = (verb: string, path: string, ...options: readonly string[]): Promise<Ended> => {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/${name}`;
    const reading = ['--server', url, '--key', scratch.file('key.pub'), '--cache', scratch.file('cache')];
    return layerstore.runBeside(['cvmfs', verb, ...reading, ...options, `${name}:/${path}`]);
  };

  test('publish prints thin.json, and a client reads the files of every layer, whiteouts as devices', async () => {
    const [base = '', top = ''] = image.diffIds;
    const printed: unknown = JSON.parse(
      layerstore.succeed('thin', 'publish', ...publisher, '--tag', 'first', image.path),
    );
    expect(printed).toEqual({
      version: '1.0',
      min_version: '1.0',
      origin: 'docker.io/library/test:latest',
      layers: image.diffIds.map((diffId) => ({
        digest: diffId.slice(7),
        url: `cvmfs://${name}/${layerPath(diffId)}`,
      })),
    });
    expect((await cvmfs('cat', `${layerPath(base)}/etc/motd`)).stdout).toBe('welcome\n');
    expect((await cvmfs('ls', `${layerPath(top)}/etc`, '-l', '--tag', 'first')).stdout).toMatch(/^c.* 0, *0 .*gone$/m);
  });

  test('make publishes nothing twice and gives an image with the settings of the original and one layer: thin.json', () => {
    layerstore.succeed('load', '-i', image.path);
    const made = layerstore.json('thin', 'make', 'test:latest', 'thin/test:1', ...publisher) as {
      readonly revision: { readonly revision: number; readonly newObjects: number };
      readonly thin: { readonly layers: readonly { readonly digest: string }[] };
    };
    expect(made.revision.newObjects).toBe(0);
    expect(made.thin.layers.map(({ digest }) => `sha256:${digest}`)).toEqual(image.diffIds);
    const archive = scratch.file('thin.tar');
    layerstore.succeed('save', 'thin/test:1', '-o', archive);
    const member = (path: string): Buffer => execFileSync('tar', ['-xOf', archive, path]);
    const [manifest] = JSON.parse(member('manifest.json').toString()) as { Config: string; Layers: [string] }[];
    const config = JSON.parse(member(manifest!.Config).toString()) as { config: unknown; created: string };
    expect(config).toMatchObject({
      config: { Cmd: ['/bin/sh'], Env: ['COLOUR=amber'] },
      created: '2024-01-02T03:04:05Z',
    });
    writeFileSync(scratch.file('layer.tar'), member(manifest!.Layers[0]));
    expect(execFileSync('tar', ['-tf', scratch.file('layer.tar')], { encoding: 'utf8' })).toBe('thin.json\n');
    const thin: unknown = JSON.parse(execFileSync('tar', ['-xOf', scratch.file('layer.tar')], { encoding: 'utf8' }));
    expect(thin).toEqual(made.thin);
  });

  test('a container of the thin image shows the files of the original, and what it deleted stays deleted', async () => {
    const configuration = {
      servers: [`http://127.0.0.1:${(server.address() as AddressInfo).port}/${name}`],
      keys: [scratch.file('key.pub')],
      cacheDirectory: scratch.file('thin-cache'),
    };
    writeFileSync(scratch.file('cvmfs.json'), JSON.stringify({ repositories: { [name]: configuration } }));
    const options = [
      '--storage-opt',
      'thin.enabled=true',
      '--storage-opt',
      `thin.config=${scratch.file('cvmfs.json')}`,
    ];
    const run = async (...args: readonly string[]): Promise<string> => {
      const { code, stdout, stderr } = await layerstore.runBeside([...options, ...args]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      return stdout.trim();
    };
    await run('create', 'thin/test:1', '--name', 'box');
    const path = await run('mount', 'box');
    expect(await readFile(join(path, 'etc/motd'), 'utf8')).toBe('welcome\n');
    expect(await readdir(join(path, 'etc'))).toEqual(['motd']);
    await run('unmount', 'box');
    await run('rm', 'box');
    expect(mountsBelow(scratch.file('root'))).toEqual([]);
  });

  test('renew prints the new date; a repository without keys, or none at all, is told', () => {
    expect(layerstore.succeed('thin', 'renew', ...publisher, '--days', '7')).toMatch(/^\d{4}-\d\d-\d\dT.*Z\n$/);
    const elsewhere = ['--name', name, '--directory', scratch.file('nothing'), '--keys', scratch.file('keys')];
    const { code, stderr } = layerstore.run('thin', 'publish', ...elsewhere, image.path);
    expect([code, stderr]).toEqual([1, expect.stringContaining('layerstore thin init')]);
    expect(layerstore.run('thin', 'renew', ...publisher, '--days', 'x').code).toBe(125);
  });
});
