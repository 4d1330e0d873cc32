import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { dockerPluginFiles, type SystemFile } from './plugin-files.js';

const socket = '/run/layerstore/docker/layerstore.sock';
const command = [process.execPath, '/usr/lib/layerstore/main.js', 'serve', 'docker', '--socket', socket];

const file = (files: readonly SystemFile[], end: string): string =>
  files.find(({ path }) => path.endsWith(end))?.content ?? '';

const hasVerify = spawnSync('systemd-analyze', ['--version']).status === 0;

describe('the files of the plugin', () => {
  it('name the socket as dockerd reads it', () => {
    const files = dockerPluginFiles({ socket, command });
    expect(files.map(({ path }) => path)).toEqual([
      '/etc/systemd/system/layerstore-layerstore.socket',
      '/etc/systemd/system/layerstore-layerstore.service',
      '/etc/docker/plugins/layerstore.spec',
      '/etc/docker/plugins/layerstore.json',
    ]);
    expect(file(files, '.spec')).toBe(`unix://${socket}\n`);
    expect(JSON.parse(file(files, '.json'))).toEqual({ Name: 'layerstore', Addr: `unix://${socket}` });
  });

  it('start the plugin before dockerd, on the socket of the unit', () => {
    const files = dockerPluginFiles({ socket, command, name: 'other' });
    for (const unit of ['.socket', '.service']) expect(file(files, unit)).toContain('Before=docker.service');
    expect(file(files, '.socket')).toContain(`ListenStream=${socket}\nSocketMode=0600`);
    expect(file(files, '.service')).toContain(`ExecStart=${command.join(' ')}\n`);
    expect(file(files, '.service')).toContain('Requires=layerstore-other.socket');
  });

  it('keep the service in the mount namespace of dockerd', () => {
    const settings = file(dockerPluginFiles({ socket, command }), '.service')
      .split('\n')
      .filter((line) => !line.startsWith('#'));
    const namespaces =
      /^(Private|Protect|ReadOnly|ReadWrite|Inaccessible|Bind|Temporary|Root|Mount|Dynamic|NoExec|Exec(Paths)|Restrict|Extension|Namespace|Log)\w*=/;
    expect(settings.filter((line) => namespaces.test(line))).toEqual([]);
  });

  it.skipIf(!hasVerify)('are units that systemd-analyze finds nothing wrong with', () => {
    const directory = mkdtempSync(join(tmpdir(), 'layerstore-units-'));
    try {
      const odd = ['--storage-opt', 'key=a b$c%d"e\\f'];
      const units = dockerPluginFiles({ socket, command: [...command, ...odd] })
        .filter(({ path }) => path.startsWith('/etc/systemd'))
        .map(({ path, content }) => {
          const unit = join(directory, basename(path));
          writeFileSync(unit, content);
          return unit;
        });
      const { status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', ...units], {
        encoding: 'utf8',
      });
      // What it says of other units of this machine is not about ours.
      const about = (stdout + stderr).split('\n').filter((line) => line.includes('layerstore'));
      expect({ status, about }).toEqual({ status: 0, about: [] });
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it.each(['overlay2', 'aufs', 'vfs', 'zfs', 'a/b', '', '.hidden'])('refuse %j as a name', (name) => {
    expect(() => dockerPluginFiles({ socket, command, name })).toThrow(/a driver of this name|not a name for a plugin/);
  });

  it.each(['relative.sock', '/a b.sock', '/a"b.sock'])('refuse the socket %j', (path) => {
    expect(() => dockerPluginFiles({ socket: path, command })).toThrow('not a path that discovery files');
  });
});
