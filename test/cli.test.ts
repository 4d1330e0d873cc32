import { spawn } from 'node:child_process';
import { createReadStream, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ContainerSummary, ImageDetails, ImageSummary, LoadedImage, PathChange } from '@layerstore/store';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CommandLine, commandPath } from './support/command.js';
import { copyHostPrograms } from './support/host-root.js';
import { makeDockerArchive, threeLayers, type TestImage } from './support/image.js';
import { isRoot, mountsBelow, Scratch } from './support/scratch.js';

let scratch: Scratch;
let layerstore: CommandLine;
let image: TestImage;

beforeEach(() => {
  scratch = new Scratch('cli');
  layerstore = new CommandLine(scratch.file('root'));
  image = makeDockerArchive(scratch.path, threeLayers);
});
afterEach(() => scratch[Symbol.dispose]());

const until = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 20));
};

describe.skipIf(!isRoot)('images on the command line (needs root)', () => {
  test('are loaded, listed, named and removed', () => {
    expect(layerstore.succeed('load', '-i', image.path)).toBe('Loaded image: test:latest\n');
    expect(layerstore.succeed('images')).toMatch(
      /^REPOSITORY +TAG +IMAGE ID +CREATED +SIZE\ntest +latest +[0-9a-f]{12} +\d+ years ago +300kB\n$/,
    );
    expect(layerstore.succeed('images', '-q', '--no-trunc')).toBe(`${image.id}\n`);
    layerstore.succeed('tag', 'test', 'quay.io/a/b:1');
    const [listed] = layerstore.json('images') as ImageSummary[];
    expect(listed?.references.toSorted()).toEqual(['quay.io/a/b:1', 'test:latest']);
    expect(layerstore.succeed('images')).toMatch(/^quay\.io\/a\/b +1 /m);
    expect(layerstore.succeed('rmi', 'test')).toBe('Untagged: test:latest\n');
    expect(layerstore.succeed('rmi', 'quay.io/a/b:1')).toContain(`Deleted: ${image.id}\n`);
    expect(layerstore.json('images')).toEqual([]);
  });

  test('are loaded from a pipe, with --json or --quiet for programs', () => {
    const loaded = JSON.parse(
      layerstore.shell('cat "$1" | $layerstore load - --json', image.path).stdout,
    ) as LoadedImage[];
    expect(loaded.map(({ id }) => id)).toEqual([image.id]);
    expect(loaded[0]?.layers.map(({ diffId }) => diffId)).toEqual(image.diffIds);
    expect(layerstore.succeed('load', image.path, '-q')).toBe(`${image.id}\n`);
  });

  test('are imported from a tar, with instructions', () => {
    const { stdout } = layerstore.shell(
      `tar -C "$1" -c . | $layerstore import - made:1 -c 'CMD ["sh", "-c", "true"]' -c 'ENV A=b' -m why`,
      join(scratch.path, 'layer-0'),
    );
    const [details] = layerstore.json('inspect', 'made:1') as ImageDetails[];
    expect(stdout).toBe(`${details?.id ?? ''}\n`);
    expect(details?.config).toMatchObject({ config: { Cmd: ['sh', '-c', 'true'] } });
    expect(layerstore.succeed('history', 'made:1')).toMatch(/ why\n$/);
  });

  test('are saved to a file or a pipe, and come back the same', () => {
    layerstore.succeed('load', image.path);
    layerstore.succeed('save', 'test', '-o', scratch.file('saved.tar'));
    layerstore.shell('$layerstore save test --format oci-archive --compression gzip > "$1"', scratch.file('piped.tar'));
    layerstore.succeed('save', 'test', '--format', 'oci-dir', '-o', scratch.file('layout'));
    for (const saved of ['saved.tar', 'piped.tar', 'layout']) {
      const other = new CommandLine(scratch.file(`from-${saved}`));
      const [loaded] = JSON.parse(other.succeed('load', scratch.file(saved), '--json')) as LoadedImage[];
      expect(loaded?.id).toBe(image.id);
      expect(loaded?.layers.map(({ diffId }) => diffId)).toEqual(image.diffIds);
    }
  });

  test('show how they came to be', () => {
    layerstore.succeed('load', image.path);
    const lines = layerstore.succeed('history', 'test').split('\n');
    expect(lines[0]).toMatch(/^LAYER +CREATED +CREATED BY +SIZE +COMMENT$/);
    expect(lines.slice(1, 4).map((line) => /layer \d/.exec(line)?.[0])).toEqual(['layer 2', 'layer 1', 'layer 0']);
    expect(layerstore.succeed('history', 'test', '-q', '--no-trunc')).toBe(
      `${image.diffIds.toReversed().join('\n')}\n`,
    );
  });

  test('cannot reach the terminal by what they are called', () => {
    mkdirSync(scratch.file('hostile'));
    const hostile = makeDockerArchive(scratch.file('hostile'), threeLayers.slice(0, 1), {
      config: { Labels: { evil: '\u009b2J\u001b]0;owned\u0007' } },
    });
    layerstore.succeed('load', hostile.path);
    const inspected = layerstore.succeed('inspect', 'test');
    expect(inspected).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
    expect(JSON.parse(inspected)).toMatchObject([
      { config: { config: { Labels: { evil: '\u009b2J\u001b]0;owned\u0007' } } } },
    ]);
  });

  test('that do not exist are reported one by one, the others still have their turn', () => {
    layerstore.succeed('load', image.path);
    const { code, stdout, stderr } = layerstore.run('rmi', 'one', 'test', 'two');
    expect(code).toBe(1);
    expect(stdout).toContain('Untagged: test:latest');
    expect(stderr.match(/^layerstore: (one|two): /gm)).toHaveLength(2);
  });
});

describe.skipIf(!isRoot)('containers on the command line (needs root)', () => {
  beforeEach(() => {
    layerstore.succeed('load', image.path, '-q');
  });

  test('are created, mounted, changed, compared, committed and removed', () => {
    const id = layerstore.succeed('create', 'test', '--name', 'box').trim();
    expect(id).toMatch(/^[0-9a-f]{64}$/);
    const view = layerstore.succeed('mount', 'box').trim();
    expect(mountsBelow(scratch.path)).toEqual([view]);
    expect(layerstore.succeed('ps')).toMatch(
      new RegExp(`^${id.slice(0, 12)} +test:latest +.* ago +box +${view}$`, 'm'),
    );
    writeFileSync(join(view, 'etc/hostname'), 'changed\n');
    writeFileSync(join(view, 'etc/\u001b[2J'), '');
    expect(layerstore.succeed('diff', 'box')).toBe('C /etc\nA /etc/\u001b[2J\nC /etc/hostname\n');
    expect(layerstore.shell('script --quiet --return --command "$layerstore diff box" /dev/null').stdout).toContain(
      'A /etc/\\x1b[2J',
    );
    expect((layerstore.json('diff', 'box') as PathChange[]).map(({ kind }) => kind)).toEqual([
      'modify',
      'add',
      'modify',
    ]);
    const committed = layerstore.succeed('commit', 'box', 'test:2', '-m', 'changed the name').trim();
    expect(layerstore.succeed('images', '-q', '--no-trunc').split('\n')).toContain(committed);
    expect(layerstore.run('rm', 'box')).toMatchObject({ code: 1, stdout: '' });
    layerstore.succeed('unmount', 'box');
    expect(mountsBelow(scratch.path)).toEqual([]);
    expect(layerstore.succeed('rm', 'box')).toBe('box\n');
    expect(layerstore.json('ps')).toEqual([]);
  });

  test('are exported to a file or a pipe', () => {
    layerstore.succeed('create', 'test', '--name', 'box');
    const listed = layerstore.shell('$layerstore export box | tar -t').stdout.split('\n');
    expect(listed).toContain('usr/share/doc/new');
    expect(listed).not.toContain('usr/share/doc/readme');
    layerstore.succeed('export', 'box', '-o', scratch.file('box.tar'));
    expect(layerstore.shell('tar -tf "$1" | wc -l', scratch.file('box.tar')).stdout.trim()).toBe(
      String(listed.length - 1),
    );
  });

  test('and images are told apart by inspect', () => {
    layerstore.succeed('create', 'test', '--name', 'test');
    expect(layerstore.json('inspect', 'test')).toMatchObject([{ name: 'test', graphDriver: { name: 'overlay2' } }]);
    expect(layerstore.json('inspect', 'test', '--type', 'image')).toMatchObject([{ id: image.id }]);
    const { code, stdout, stderr } = layerstore.run('inspect', 'nothing');
    expect({ code, records: JSON.parse(stdout) as unknown }).toEqual({ code: 1, records: [] });
    expect(stderr).toMatch(/^layerstore: nothing: no image or container has this name or ID\nhint: /);
  });
});

describe.skipIf(!isRoot)('run (needs root)', () => {
  beforeEach(() => {
    mkdirSync(scratch.file('host'));
    copyHostPrograms(scratch.file('host'), ['sh', 'cat', 'sleep']);
    const command = `tar -C "$1" -c . | $layerstore import -q - host:1 -c 'CMD ["sh", "-c", "echo from the image"]'`;
    expect(layerstore.shell(command, scratch.file('host')).code).toBe(0);
  });

  test('passes arguments, variables, input, output and exit status', () => {
    const { code, stdout } = layerstore.shell(
      `echo input | $layerstore run -e A=b -w /bin host:1 -- sh -c 'cat; echo "$A $PWD $1"; exit 42' sh --root`,
    );
    expect({ code, stdout }).toEqual({ code: 42, stdout: 'input\nb /bin --root\n' });
    expect(layerstore.succeed('run', 'host:1')).toBe('from the image\n');
    expect(layerstore.run('run', 'host:1', '/nothing').code).toBe(127);
  });

  test('leaves no container behind, unless it is wanted', () => {
    layerstore.run('run', 'host:1', '--', 'sh', '-c', 'echo x > /made; exit 3');
    expect(layerstore.json('ps')).toEqual([]);
    layerstore.succeed('run', '--name', 'kept', 'host:1', 'sh', '-c', 'echo x > /made');
    expect((layerstore.json('ps') as ContainerSummary[]).map(({ name }) => name)).toEqual(['kept']);
    expect(layerstore.succeed('diff', 'kept')).toBe('A /made\n');
    expect(layerstore.succeed('run', 'kept', 'cat', '/made')).toBe('x\n');
    expect(mountsBelow(scratch.path)).toEqual([]);
  });

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('that is stopped by %s ends its program, cleans up and exits with %i', async (signal, code) => {
    const child = spawn(
      process.execPath,
      [commandPath, 'run', 'host:1', '--', 'sh', '-c', 'echo started; sleep 1000'],
      {
        env: layerstore.environment(),
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    let output = '';
    child.stdout.on('data', (data: Buffer) => (output += data.toString()));
    await until(() => output.includes('started'));
    child.kill(signal);
    expect(await new Promise((resolve) => child.once('close', resolve))).toBe(code);
    expect(layerstore.json('ps')).toEqual([]);
    expect(mountsBelow(scratch.path)).toEqual([]);
  });
});

describe.skipIf(!isRoot)('the store on the command line (needs root)', () => {
  beforeEach(() => {
    layerstore.succeed('load', image.path, '-q');
  });

  test('is described by info and df', () => {
    expect(layerstore.succeed('info')).toMatch(/^Driver: overlay2\n Backing Filesystem: /m);
    expect(layerstore.json('info')).toMatchObject({ images: 1, layers: 3, root: layerstore.root });
    expect(layerstore.succeed('df')).toMatch(/^TYPE +TOTAL +ACTIVE +SIZE +RECLAIMABLE\nImages +1 +0 +300kB /);
    expect(layerstore.json('df')).toMatchObject({ layers: { count: 3 } });
  });

  test('is checked: damage sets the exit status', () => {
    expect(layerstore.succeed('check')).toBe(
      'sound (layers: 3, verified: 0, images: 1, containers: 0, snapshots: 0)\n',
    );
    expect(layerstore.succeed('check', '--verify')).toContain('verified: 3');
    const [details] = layerstore.json('inspect', 'test') as ImageDetails[];
    const damaged = details?.layerList[0]?.cacheId ?? '';
    writeFileSync(join(layerstore.root, 'home', damaged, 'diff/etc/hostname'), 'tampered\n');
    const { code, stdout } = layerstore.run('check', '--verify');
    expect(code).toBe(1);
    expect(stdout).toMatch(/^damage: layer .*\n {2}\S/);
    expect(JSON.parse(layerstore.run('check', '--verify', '--json').stdout)).toMatchObject({ sound: false });
  });

  test('is pruned, after showing what would go', () => {
    expect(layerstore.succeed('prune', '--all', '--dry-run')).toContain(`Would delete image: ${image.id}\n`);
    expect(layerstore.succeed('prune')).toBe('Reclaimed space: 0B\n');
    expect(layerstore.json('images')).toHaveLength(1);
    expect(layerstore.succeed('prune', '--all')).toContain(`Deleted image: ${image.id}\n`);
    expect(layerstore.json('images')).toEqual([]);
  });
});

describe.skipIf(!isRoot)('a command in a pipe (needs root)', () => {
  test('shows progress on stderr only, as events where asked', () => {
    const plain = layerstore.run('load', image.path);
    expect(plain.stdout).toBe('Loaded image: test:latest\n');
    expect(plain.stderr.trim().split('\n').length).toBeGreaterThanOrEqual(3);
    const other = new CommandLine(scratch.file('other'));
    const events = other.run('load', image.path, '--progress', 'json').stderr.trim().split('\n');
    const kinds = events.map((line) => (JSON.parse(line) as { kind: string }).kind);
    expect(kinds).toEqual(expect.arrayContaining(['start', 'end']));
    expect(other.run('load', image.path, '--progress', 'none').stderr).toBe('');
  });

  test('whose reader goes away ends quietly, as SIGPIPE would end it', () => {
    layerstore.succeed('load', image.path, '-q');
    for (const command of ['images', 'save test -q', 'inspect test', '--help']) {
      const { stdout, stderr } = layerstore.shell(`$layerstore ${command} | true; echo "\${PIPESTATUS[0]}"`);
      expect({ command, stdout, stderr }).toEqual({ command, stdout: '141\n', stderr: '' });
    }
  });

  test('that is interrupted while it waits for input leaves nothing half made', async () => {
    const child = spawn(process.execPath, [commandPath, 'load', '-'], { env: layerstore.environment() });
    let message = '';
    child.stderr.on('data', (data: Buffer) => (message += data.toString()));
    createReadStream(image.path, { end: 100_000 }).pipe(child.stdin, { end: false });
    const staging = join(layerstore.root, 'staging');
    const spooled = (): boolean => {
      try {
        return readdirSync(staging).length > 0;
      } catch {
        return false;
      }
    };
    await until(spooled);
    child.kill('SIGINT');
    expect(await new Promise((resolve) => child.once('close', resolve))).toBe(130);
    expect(message).toBe('');
    expect(readdirSync(staging)).toEqual([]);
    expect(layerstore.json('images')).toEqual([]);
    expect(layerstore.json('check')).toMatchObject({ sound: true, leftovers: [] });
  });
});
