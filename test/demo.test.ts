import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { commandPath, type Ended } from './support/command.js';
import { copyHostPrograms } from './support/host-root.js';
import { makeDockerArchive } from './support/image.js';
import { hasProgram, isRoot, mountsBelow, Scratch } from './support/scratch.js';

interface DemoRecord {
  readonly steps: readonly { readonly step: string; readonly seconds: number }[];
  readonly program: readonly string[];
  readonly comparisons: readonly { readonly what: string; readonly holds: boolean }[];
}

const programs = ['sh', 'mkdir', 'cp', 'dd', 'touch', 'ln', 'mkfifo', 'mknod', 'chmod', 'chown', 'mv', 'rm'];

describe.skipIf(!isRoot)('the demo (needs root)', () => {
  let scratch: Scratch;
  /** An image with a shell, and one without any program. */
  let withShell: string;
  let withoutShell: string;
  /** Where the demo puts everything, so that what it leaves behind can be seen. */
  let temporary: string;

  beforeAll(() => {
    scratch = new Scratch('demo');
    temporary = scratch.file('tmp');
    mkdirSync(temporary);
    const files = (directory: string): void => {
      mkdirSync(join(directory, 'etc'), { recursive: true });
      for (let number = 0; number < 10; number += 1)
        writeFileSync(join(directory, `etc/file-${number}`), `${number}\n`);
    };
    const image = (name: string, programsOfImage: readonly string[]): string => {
      mkdirSync(scratch.file(name));
      const base = (directory: string): void => {
        copyHostPrograms(directory, programsOfImage);
      };
      return makeDockerArchive(scratch.file(name), [base, files], { reference: `${name}:1`, compression: 'gzip' }).path;
    };
    withShell = image('shell', programs);
    withoutShell = image('bare', []);
  });
  afterAll(() => scratch[Symbol.dispose]());

  /** Runs the demo; Ctrl-C comes `interruptAfter` milliseconds after it has made its temporary directory. */
  async function demo(args: readonly string[], interruptAfter?: number): Promise<Ended> {
    const child = spawn(process.execPath, [commandPath, 'demo', '--progress', 'none', ...args], {
      env: { ...process.env, TMPDIR: temporary },
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (data: Buffer) => (stdout += data.toString()));
    child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
    const ended = new Promise<number | null>((resolve) => {
      // Node gives its handlers back at the very end; a signal that comes then ends it by itself, which shells report as 130 too.
      child.once('close', (code, signal) => resolve(signal === 'SIGINT' ? 130 : code));
    });
    if (interruptAfter !== undefined) {
      while (child.exitCode === null && readdirSync(temporary).length === 0) await delay(5);
      await Promise.race([delay(interruptAfter), ended]);
      child.kill('SIGINT');
    }
    return { code: await ended, stdout, stderr };
  }

  const expectNothingLeft = (): void => {
    expect(mountsBelow(scratch.path)).toEqual([]);
    expect(readdirSync(temporary)).toEqual([]);
  };

  test('takes an image all the way and finds everything equal', async () => {
    const { code, stdout, stderr } = await demo(['--image', withShell, '--json']);
    expect(stderr).not.toContain('layerstore: error');
    const record = JSON.parse(stdout) as DemoRecord;
    expect(record.comparisons.filter(({ holds }) => !holds)).toEqual([]);
    expect(record.comparisons.map(({ what }) => what)).toEqual(
      expect.arrayContaining([
        'docker-archive: diff IDs',
        'docker-archive: image ID',
        'docker-archive: file system, byte for byte',
        'oci-archive: diff IDs',
        'oci-archive: image ID',
      ]),
    );
    expect(record.program.join('\n')).toMatch(/10 files of \/etc: edited, replaced, deleted/);
    expect(code).toBe(0);
    expectNothingLeft();
  });

  test('has its archives read by skopeo or podman where one is installed', async () => {
    const { stdout } = await demo(['--image', withShell, '--json']);
    const others = (JSON.parse(stdout) as DemoRecord).comparisons.filter(({ what }) => /^(skopeo|podman) /.test(what));
    expect(others.length > 0).toBe(hasProgram('skopeo') || hasProgram('podman'));
  });

  test('changes an image without a shell through its mounted path', async () => {
    const { code, stdout } = await demo(['--image', withoutShell]);
    expect(stdout).toMatch(/the image has no shell: 4 of its files were changed/);
    expect(stdout).toMatch(/^STEP +SIZE +SECONDS/m);
    expect(stdout).toMatch(/\nEverything is equal\.\n$/);
    expect(code).toBe(0);
    expectNothingLeft();
  });

  test('leaves no mount and no file behind, whenever Ctrl-C comes', async () => {
    for (let round = 0; round < 12; round += 1) {
      const { code, stderr } = await demo(['--image', withShell], Math.random() * 2500);
      expect([0, 130]).toContain(code);
      expect(stderr).toBe('');
      expectNothingLeft();
    }
  });

  test.skipIf(!hasProgram('mmdebstrap'))('ends mmdebstrap with it (needs mmdebstrap)', async () => {
    const { code } = await demo([], 1500);
    expect(code).toBe(130);
    expectNothingLeft();
  });

  test('keeps everything on request, and says where', async () => {
    const { code, stdout, stderr } = await demo(['--image', withoutShell, '--keep', '--json']);
    const { directory } = JSON.parse(stdout) as { directory: string };
    expect(code).toBe(0);
    expect(stderr).toContain(`everything stays in ${directory}`);
    expect(readdirSync(directory)).toEqual(expect.arrayContaining(['first', 'saved.docker.tar', 'saved.oci.tar']));
    expect(mountsBelow(scratch.path)).toEqual([]);
  });

  test('fails in one line on something that is no image', async () => {
    writeFileSync(scratch.file('nonsense.tar'), 'nonsense');
    const { code, stderr } = await demo(['--image', scratch.file('nonsense.tar')]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^layerstore: .*nonsense\.tar/);
  });
});
