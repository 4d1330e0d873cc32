/** containerd's own tests of a snapshotter, as Debian packages them, pass against `layerstore serve containerd`. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CommandLine } from '../support/command.js';
import { SnapshotServer } from '../support/containerd.js';
import { hasProgram, isRoot, Scratch } from '../support/scratch.js';

const sources = '/usr/share/gocode/src/github.com/containerd/containerd/snapshots/testsuite';
const available = isRoot && hasProgram('go') && existsSync(sources);

describe.skipIf(!available)("containerd's snapshotter suite (needs root, golang-go and its sources)", () => {
  let scratch: Scratch;

  beforeAll(() => {
    scratch = new Scratch('suite');
    execFileSync('cp', ['-r', fileURLToPath(new URL('containerd-suite', import.meta.url)), scratch.file('suite')]);
    execFileSync('mkdir', ['-p', scratch.file('go/src')]);
    execFileSync('mv', [scratch.file('suite'), scratch.file('go/src/suite')]);
    execFileSync('go', ['test', '-c', '-o', scratch.file('suite.test'), 'suite'], {
      env: { ...process.env, GO111MODULE: 'off', GOPATH: `${scratch.file('go')}:/usr/share/gocode` },
      stdio: 'pipe',
    });
  }, 600_000);
  afterAll(() => scratch[Symbol.dispose]());

  it.each(['overlay2', 'vfs'])(
    'passes on %s, and nothing is left in the root',
    async (driver) => {
      await using server = await new SnapshotServer(scratch, ['--driver', driver], driver).start();
      const { status, stdout } = spawnSync(scratch.file('suite.test'), ['-test.v', '-test.root', '-test.timeout=5m'], {
        env: { ...process.env, LAYERSTORE_SOCKET: server.socket, LAYERSTORE_SNAPSHOTTER: driver },
        encoding: 'utf8',
        maxBuffer: 1 << 26,
      });
      const failed = stdout.split('\n').filter((line) => line.includes('--- FAIL'));
      expect({ status, failed, output: status === 0 ? '' : stdout.slice(-6000) }).toEqual({
        status: 0,
        failed: [],
        output: '',
      });
      expect(stdout).toContain('--- PASS: TestSnapshotter/128LayersMount');
      expect(await server.end()).toBe(0);
      expect(new CommandLine(server.root).json('check')).toMatchObject({ sound: true });
    },
    600_000,
  );
});
