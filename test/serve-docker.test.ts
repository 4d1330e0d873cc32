/** `layerstore serve docker` as users call it. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CommandLine } from './support/command.js';
import { DockerPluginProcess } from './support/docker-plugin.js';
import { isRoot, Scratch } from './support/scratch.js';

let scratch: Scratch;
let layerstore: CommandLine;

beforeAll(() => {
  scratch = new Scratch('sd');
  layerstore = new CommandLine(scratch.file('root'));
});
afterAll(() => scratch[Symbol.dispose]());

const hasVerify = spawnSync('systemd-analyze', ['--version']).status === 0;

describe('layerstore serve docker', () => {
  test('has a help of its own', () => {
    expect(layerstore.succeed('serve', '--help')).toMatch(/^ +docker +Serve a graph-driver plugin/m);
    const help = layerstore.succeed('serve', 'docker', '--help');
    expect(help).toMatch(/^Usage: layerstore serve docker/);
    expect(help).toContain('dockerd 1.13 to 27');
    expect(help).toContain('\nExamples:\n');
  });

  test.each([
    ['no socket', [], '--socket is missing'],
    ['a socket without a name', ['--socket', ''], '--socket is missing'],
    ['a name without units', ['--socket', '/x.sock', '--name', 'x'], '--name and --json go with --print-units'],
    ['a name that is a driver of dockerd', ['--socket', '/run/vfs.sock', '--print-units'], 'vfs: dockerd has a driver'],
  ])('%s is a wrong use', (_case, args, message) => {
    const { code, stderr } = layerstore.run('serve', 'docker', ...args);
    expect(code).toBe(125);
    expect(stderr).toContain(message);
  });

  test('prints the files that a machine needs, each under its path', () => {
    const args = ['serve', 'docker', '--socket', '/run/layerstore/docker.sock', '--name', 'mine', '--driver', 'vfs'];
    const text = layerstore.succeed(...args, '--print-units');
    const files = layerstore.json(...args, '--print-units') as { path: string; content: string }[];
    for (const { path, content } of files) expect(`${text.trim()}\n`).toContain(`# ${path}\n${content}`);
    expect(files.map(({ path }) => path)).toContain('/etc/docker/plugins/mine.spec');
    expect(files[1]?.content).toMatch(
      /^ExecStart=\S+ \S+\/main\.js serve docker --socket \/run\/layerstore\/docker\.sock --driver vfs$/m,
    );
  });

  test.skipIf(!hasVerify)('prints units that systemd-analyze finds nothing wrong with', () => {
    const directory = scratch.file('units');
    mkdirSync(directory);
    const units = (
      layerstore.json('serve', 'docker', '--socket', '/run/docker/plugins/mine.sock', '--print-units') as {
        path: string;
        content: string;
      }[]
    )
      .filter(({ path }) => path.startsWith('/etc/systemd/'))
      .map(({ path, content }) => {
        const unit = `${directory}/${basename(path)}`;
        writeFileSync(unit, content);
        return unit;
      });
    const { status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', ...units], {
      encoding: 'utf8',
    });
    const about = (stdout + stderr).split('\n').filter((line) => line.includes('layerstore'));
    expect({ status, about }).toEqual({ status: 0, about: [] });
  });

  test.skipIf(!isRoot)('replaces a socket that nobody answers on, and nothing else', async () => {
    const directory = scratch.file('p');
    const first = await DockerPluginProcess.start(directory, { driver: 'vfs' });
    const second = DockerPluginProcess.launch(directory, { driver: 'vfs' });
    expect(await second.end()).toBe(1);
    expect(second.log).toContain('another layerstore serves this socket');
    await first.stop('SIGKILL');
    {
      await using again = await DockerPluginProcess.start(directory, { driver: 'vfs' });
      expect(statSync(again.socket).mode & 0o777).toBe(0o600);
    }
    writeFileSync(first.socket, 'precious');
    const third = DockerPluginProcess.launch(directory, { driver: 'vfs' });
    expect(await third.end()).toBe(1);
    expect(statSync(first.socket).size).toBe(8);
  });
});
