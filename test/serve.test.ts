/** The command lines around the servers: configuration, what is refused, sockets of a service manager. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, lstatSync } from 'node:fs';
import grpc from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Snapshots } from '../packages/daemon/src/grpc/generated/snapshots_pb.js';
import { serviceDefinition } from '../packages/daemon/src/grpc/service-definition.js';
import { commandPath, CommandLine } from './support/command.js';
import { hasProgram, isRoot, Scratch } from './support/scratch.js';

describe('serve containerd', () => {
  let scratch: Scratch;
  let layerstore: CommandLine;
  beforeAll(() => {
    scratch = new Scratch('serve');
    layerstore = new CommandLine(scratch.file('root'));
  });
  afterAll(() => scratch[Symbol.dispose]());

  it('prints what containerd needs to know, for every snapshotter, and serves nothing', () => {
    const socket = ['--socket', '/run/x y.sock', '--snapshotter', 'copies=/srv/copies,driver=vfs'];
    const text = layerstore.succeed('serve', 'containerd', ...socket, '--print-config', 'containerd');
    expect(text).toContain('version = 2\n');
    expect(text).toContain('[proxy_plugins.layerstore]\n  type = "snapshot"\n  address = "/run/x y.sock"\n');
    expect(text).toContain('[proxy_plugins.copies]\n');
    expect(text).toContain('disable_snapshot_annotations = false');
    expect(existsSync(scratch.file('root'))).toBe(false);
  });

  it('prints units that start it with the same options', () => {
    const root = ['--root', '/srv/100% mine', '--storage-opt', 'overlay2.size=1G'];
    const options = [...root, '--name', 'second', '--no-sync', '--metrics', '127.0.0.1:9323'];
    const service = layerstore.succeed('serve', 'containerd', ...options, '--print-config', 'systemd-service');
    expect(service).toMatch(
      /^ExecStart=\/\S+ \/\S+ serve containerd --socket \S+ --root "\/srv\/100%% mine" --storage-opt overlay2.size=1G --name second --no-sync/m,
    );
    expect(service).toContain('Before=containerd.service');
    const unit = layerstore.succeed('serve', 'containerd', '--socket', '/run/s', '--print-config', 'systemd-socket');
    expect(unit).toContain('ListenStream=/run/s\nSocketMode=0600\n');
  });

  it.each([
    [['--snapshotter', 'copies'], '--snapshotter copies: not of the form'],
    [['--print-config', 'nothing'], "argument 'nothing' is invalid"],
    [['extra'], "too many arguments for 'containerd'"],
  ])('refuses %j', (options, message) => {
    const { code, stderr } = layerstore.run('serve', 'containerd', ...options);
    expect(code).toBe(125);
    expect(stderr).toContain(message);
  });

  it.skipIf(!isRoot)(
    'refuses an address that is none, and a root whose layers containerd cannot use (needs root)',
    () => {
      const socket = ['--socket', scratch.file('refused')];
      const address = layerstore.run('serve', 'containerd', ...socket, '--metrics', 'nowhere');
      expect(address).toMatchObject({
        code: 1 + 124,
        stderr: expect.stringContaining('not an address to listen on') as string,
      });
      const directory = layerstore.run('serve', 'containerd', '--socket', scratch.file('missing/socket'));
      expect(directory).toMatchObject({ code: 1, stderr: expect.stringContaining('does not exist') as string });
    },
  );

  it.skipIf(!isRoot || !hasProgram('python3'))(
    'serves on the socket that systemd passes on, and leaves it (needs root, python3)',
    async () => {
      const path = scratch.file('activated');
      // What systemd does: binds, hands the descriptor on as number 3, and names the process.
      const activate = [
        'import os, socket, sys',
        's = socket.socket(socket.AF_UNIX)',
        's.bind(sys.argv[1]); s.listen()',
        'os.dup2(s.fileno(), 3)',
        'os.set_inheritable(3, True)',
        'os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")',
        'os.execv(sys.argv[2], sys.argv[2:])',
      ].join('\n');
      const argv = [
        '-c',
        activate,
        path,
        process.execPath,
        commandPath,
        'serve',
        'containerd',
        '--root',
        scratch.file('root'),
      ];
      const server = spawn('python3', argv, { stdio: 'ignore' });
      const exited = once(server, 'exit');
      try {
        await expect.poll(() => existsSync(path), { timeout: 20_000 }).toBe(true);
        const Client = grpc.makeGenericClientConstructor(serviceDefinition(Snapshots), 'Snapshots');
        const client = new Client(`unix:${path}`, grpc.credentials.createInsecure());
        await new Promise<void>((resolve, reject) => {
          client.waitForReady(Date.now() + 20_000, (error) => (error === undefined ? resolve() : reject(error)));
        });
        const cleanup = client['Cleanup'] as (request: object, reply: (error: Error | null) => void) => void;
        await new Promise<void>((resolve, reject) => {
          cleanup.call(client, { snapshotter: 'x' }, (error) => (error === null ? resolve() : reject(error)));
        });
        client.close();
      } finally {
        server.kill('SIGTERM');
      }
      expect(await exited).toEqual([0, null]);
      expect(lstatSync(path).isSocket()).toBe(true);
    },
  );
});

describe('snapshots', () => {
  it.skipIf(!isRoot)('prints tables and records of a root that has none (needs root)', () => {
    using scratch = new Scratch('no-snapshots');
    const layerstore = new CommandLine(scratch.file('root'));
    expect(layerstore.run('snapshots', 'ls')).toMatchObject({ code: 1 });
    layerstore.shell('tar -cf "$1/empty.tar" -T /dev/null && $layerstore import "$1/empty.tar" empty', scratch.path);
    for (const verb of ['ls', 'usage', 'orphans']) expect(layerstore.json('snapshots', verb)).toEqual([]);
    expect(layerstore.succeed('snapshots', 'tree')).toBe('');
    const { code, stderr } = layerstore.run('snapshots', 'orphans', '--older-than', 'long');
    expect({ code, stderr }).toMatchObject({
      code: 125,
      stderr: expect.stringContaining('--older-than long: not an age') as string,
    });
  });
});
