/** `layerstore layer ...` on homes of its own and of other engines. */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { detectDriver, driverNames, statePath } from '@layerstore/drivers';
import type { HomeInfo, HomeLayer, HomeLayerDetails, PathChange } from '@layerstore/store';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CommandLine, type Ended } from './support/command.js';
import { makeDockerArchive, sha256, threeLayers } from './support/image.js';
import { LoopMount } from './support/loop.js';
import { hasProgram, isRoot, mountsBelow, Scratch } from './support/scratch.js';

let scratch: Scratch;
let layerstore: CommandLine;
/** State directories of the homes that were opened read-only. */
const states = new Set<string>();

beforeEach(() => {
  // In memory: every unmount of an overlay syncs the file system that holds its upper.
  scratch = new Scratch('layer', '/dev/shm');
  layerstore = new CommandLine(scratch.file('no-root'));
});
afterEach(() => {
  for (const state of states) {
    for (const point of mountsBelow(state)) execFileSync('umount', [point]);
    rmSync(state, { recursive: true, force: true });
  }
  states.clear();
  scratch[Symbol.dispose]();
});

/** The verbs of `layer` on one home. */
class HomeCommands {
  constructor(
    readonly path: string,
    private readonly options: readonly string[] = [],
  ) {}

  get readOnly(): HomeCommands {
    states.add(statePath(this.path));
    return new HomeCommands(this.path, [...this.options, '--read-only']);
  }

  run(verb: string, ...args: readonly string[]): Ended {
    return layerstore.run('layer', verb, '--home', this.path, ...this.options, ...args);
  }

  succeed(verb: string, ...args: readonly string[]): string {
    return layerstore.succeed('layer', verb, '--home', this.path, ...this.options, ...args);
  }

  json(verb: string, ...args: readonly string[]): unknown {
    return JSON.parse(this.succeed(verb, ...args, '--json'));
  }

  /** The code with which a command fails, and what it says. */
  failure(verb: string, ...args: readonly string[]): string {
    const { code, stderr } = this.run(verb, ...args);
    expect(code, stderr).not.toBe(0);
    return stderr;
  }
}

/** A home with `base` (files f, g) and `box` over it, in which f is deleted and n is new. */
function makeHome(driver: string): HomeCommands {
  const home = new HomeCommands(scratch.file('home'));
  mkdirSync(scratch.file('tree'));
  for (const name of ['f', 'g']) writeFileSync(scratch.file('tree', name), `content of ${name}\n`);
  execFileSync('tar', ['-C', scratch.file('tree'), '-cf', scratch.file('base.tar'), '.']);
  home.succeed('create', 'base', '--driver', driver);
  home.succeed('apply', 'base', scratch.file('base.tar'));
  home.succeed('create', 'box', '--parent', 'base');
  const view = home.succeed('mount', 'box').trimEnd();
  rmSync(join(view, 'f'));
  writeFileSync(join(view, 'n'), 'new');
  home.succeed('unmount', 'box');
  return home;
}

/** Everything that a write into a directory would show in. */
function everyEntry(directory: string): string[] {
  return ['.', ...readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort()].map((name) => {
    const { ino, mode, size, mtimeNs, ctimeNs } = lstatSync(join(directory, name), { bigint: true });
    return [name, ino, mode, size, mtimeNs, ctimeNs].join(' ');
  });
}

describe.skipIf(!isRoot).each(driverNames)('the layers of a home of %s (needs root)', (driver) => {
  const recordsParents = driver !== 'vfs';
  const overBase = recordsParents ? [] : ['--parent', 'base'];

  test('are made, filled, listed, changed and removed, without a root', () => {
    const home = makeHome(driver);
    const parent = recordsParents ? { parent: 'base' } : {};
    expect(home.json('ls')).toEqual([{ id: 'base' }, { id: 'box', ...parent }]);
    expect(home.succeed('ls')).toMatch(/^LAYER +PARENT +MOUNTED AT\nbase\nbox/);
    expect(home.succeed('ls', '-q')).toBe('base\nbox\n');
    expect(home.json('info')).toMatchObject({
      driver,
      home: home.path,
      layers: 2,
      mounts: 0,
    } satisfies Partial<HomeInfo>);
    expect(home.succeed('changes', 'box', ...overBase)).toBe('D /f\nA /n\n');
    expect(home.json('changes', 'box', ...overBase)).toEqual([
      { kind: 'delete', path: '/f' },
      { kind: 'add', path: '/n' },
    ] satisfies PathChange[]);
    home.succeed('rm', 'base', 'box');
    expect(home.json('ls')).toEqual([]);
    expect(existsSync(layerstore.root)).toBe(false);
  });

  test('are measured in bytes, or for people', () => {
    const home = makeHome(driver);
    const whole = 'content of g\n'.length + 'new'.length;
    expect(home.succeed('size', 'box', ...overBase)).toBe('3\n');
    expect(home.succeed('size', 'box', '--no-parent', '-H')).toBe(`${whole}B\n`);
    expect(home.json('size', 'box', '--no-parent')).toEqual({ id: 'box', size: whole });
    const sizes = (home.json('ls', '--size') as HomeLayer[]).map(({ size }) => size);
    expect(sizes).toEqual([2 * 'content of g\n'.length, recordsParents ? 3 : whole]);
  });

  test('are written to a file or a pipe, with their digests, and are equal in another home', () => {
    const home = makeHome(driver);
    const tar = scratch.file('box.tar');
    const written = home.json('diff', 'box', ...overBase, '-o', tar) as { digest: string; size: number };
    expect(written).toEqual({ digest: `sha256:${sha256(readFileSync(tar))}`, size: statSync(tar).size });
    expect(execFileSync('tar', ['-tf', tar], { encoding: 'utf8' })).toBe('./\n.wh.f\nn\n');
    const other = new HomeCommands(scratch.file('other'));
    other.succeed('create', 'b', '--driver', 'overlay2');
    other.succeed('apply', 'b', '-i', scratch.file('base.tar'));
    other.succeed('create', 'c', '--parent', 'b');
    const piped = layerstore.shell(
      `$layerstore layer diff --home "$1" box ${overBase.join(' ')} | $layerstore layer apply --home "$2" c --json`,
      home.path,
      other.path,
    );
    expect(JSON.parse(piped.stdout)).toMatchObject({ diffId: written.digest, contentSize: 3 });
    expect(other.succeed('changes', 'c')).toBe('D /f\nA /n\n');
  });

  test('stay mounted after the command, are found again, and are unmounted once', () => {
    const home = makeHome(driver);
    const view = home.succeed('mount', 'box').trimEnd();
    expect(readdirSync(view).sort()).toEqual(['g', 'n']);
    expect(home.json('mount', 'box')).toEqual({ path: view });
    const mounted = mountsBelow(home.path);
    expect((home.json('ls') as HomeLayer[])[1]?.mountedAt).toBe(mounted[0]);
    writeFileSync(join(view, 'late'), '');
    expect(home.succeed('changes', 'box', ...overBase)).toContain('A /late\n');
    expect(home.succeed('unmount', 'box', 'base')).toBe('box\nbase\n');
    expect(mountsBelow(home.path)).toEqual([]);
    expect(home.succeed('unmount', 'box')).toBe('box\n');
  });

  test('are seen read-only without a trace in the home, and the view goes with either form of unmount', () => {
    const home = makeHome(driver);
    const before = everyEntry(home.path);
    const view = home.readOnly.succeed('mount', 'box').trimEnd();
    expect(view.startsWith('/run/layerstore/')).toBe(true);
    expect(readdirSync(view).sort()).toEqual(['g', 'n']);
    expect(() => writeFileSync(join(view, 'x'), '')).toThrow(/EROFS/);
    expect((home.readOnly.json('ls') as HomeLayer[])[1]?.mountedAt).toBe(view);
    expect(home.readOnly.succeed('changes', 'box', ...overBase)).toBe('D /f\nA /n\n');
    expect(home.readOnly.succeed('diff', 'box', ...overBase)).toContain('.wh.f');
    expect(home.readOnly.json('info')).toMatchObject({ access: 'read-only', mounts: 1 });
    home.readOnly.json('inspect', 'box');
    home.readOnly.succeed('unmount', 'box');
    expect(existsSync(view)).toBe(false);
    for (const [verb, ...args] of [
      ['create', 'x'],
      ['apply', 'box', scratch.file('base.tar')],
      ['rm', 'box'],
    ] as const) {
      expect(home.readOnly.failure(verb, ...args)).toContain('opened read-only\nhint: leave --read-only away\n');
    }
    expect(everyEntry(home.path)).toEqual(before);
    home.readOnly.succeed('mount', 'box');
    home.succeed('unmount', 'box');
    expect(existsSync(view)).toBe(false);
  });

  test('on a read-only disk are mounted and exported', () => {
    const home = makeHome(driver);
    using disk = LoopMount.make(scratch.path, 'disk', 'ext4', 64);
    execFileSync('cp', ['-a', home.path, disk.path]);
    execFileSync('mount', ['-o', 'remount,ro', disk.path]);
    const copy = new HomeCommands(join(disk.path, 'home'), ['--driver', driver]);
    expect(copy.failure('create', 'more')).toMatch(/read-only.*\nhint: .*--read-only/);
    expect(copy.readOnly.succeed('changes', 'box', ...overBase)).toBe('D /f\nA /n\n');
    const view = copy.readOnly.succeed('mount', 'box').trimEnd();
    expect(readFileSync(join(view, 'g'), 'utf8')).toBe('content of g\n');
    copy.readOnly.succeed('unmount', 'box');
    const exported = copy.readOnly.succeed('diff', 'box', '--no-parent');
    expect(exported).toContain('content of g');
  });
});

describe.skipIf(!isRoot)('what would lose a layer (needs root)', () => {
  test('a layer under another is not removed, whatever the order of the names', () => {
    const home = makeHome('overlay2');
    expect(home.failure('rm', 'base')).toBe(
      'layerstore: base: it lies under box\nhint: remove the layers above it first\n',
    );
    expect(home.succeed('rm', 'base', 'box')).toBe('box\nbase\n');
  });

  test('a mounted layer is removed only by force, and one in which a program works not even so', async () => {
    const home = makeHome('overlay2');
    const view = home.succeed('mount', 'box').trimEnd();
    expect(home.failure('rm', 'box')).toContain(`the layer is mounted on ${view}`);
    const program = spawn('sleep', ['60'], { cwd: view, stdio: 'ignore' });
    try {
      const holder = `sleep (pid ${String(program.pid)}, working directory)`;
      expect(home.failure('unmount', 'box')).toContain(holder);
      expect(home.failure('rm', '-f', 'box')).toContain(holder);
    } finally {
      program.kill();
      await new Promise((resolve) => program.on('exit', resolve));
    }
    expect(home.succeed('rm', '-f', 'box')).toBe('box\n');
    expect(mountsBelow(home.path)).toEqual([]);
  });

  test('a home that belongs to a root is read, but its layers are not changed behind the back of the database', () => {
    const archive = makeDockerArchive(scratch.path, threeLayers);
    const root = new CommandLine(scratch.file('root'));
    root.succeed('load', archive.path);
    const home = new HomeCommands(scratch.file('root', 'home'));
    const base = (home.json('ls') as HomeLayer[]).find(({ parent }) => parent === undefined)?.id ?? '';
    expect(home.succeed('changes', base)).toContain('A /etc/hostname\n');
    const refusal = `belong to the layerstore root ${root.root}\nhint: `;
    expect(home.failure('rm', base)).toContain(refusal);
    expect(home.failure('create', 'x')).toContain(refusal);
    expect(home.failure('apply', base, archive.path)).toContain(refusal);
    expect(root.run('check').code).toBe(0);
  });

  test('an archive that fails leaves the layer empty, and a layer with content takes none', () => {
    const home = makeHome('overlay2');
    home.succeed('create', 'new', '--parent', 'base');
    writeFileSync(scratch.file('cut.tar'), readFileSync(scratch.file('base.tar')).subarray(0, 2000));
    expect(home.failure('apply', 'new', scratch.file('cut.tar'))).toMatch(/ends|truncated/);
    expect(home.json('ls')).toContainEqual({ id: 'new', parent: 'base' });
    expect(home.succeed('changes', 'new')).toBe('');
    expect(home.failure('apply', 'box', scratch.file('base.tar'))).toContain('box: the layer has content');
    expect(home.succeed('changes', 'box')).toBe('D /f\nA /n\n');
    expect(home.failure('apply', 'new', scratch.file('absent.tar'))).toContain('absent.tar: no such file');
  });
});

describe.skipIf(!isRoot)('what is not there (needs root)', () => {
  test('a layer, a home, a directory that is no home: each is told, and nothing is made', () => {
    const home = makeHome('overlay2');
    expect(home.failure('mount', 'absent')).toMatch(/^layerstore: absent: there is no such layer in .*\nhint: list/);
    expect(home.failure('diff', '../box')).toMatch(/^layerstore: "\.\.\/box": not a valid id\nhint: /);
    const { code } = home.run('create', 'a b');
    expect(code).toBe(125);
    const [absent, other] = [new HomeCommands(scratch.file('absent')), new HomeCommands(scratch.file('tree'))];
    expect(absent.failure('ls')).toMatch(/absent: there is no such directory\nhint: /);
    expect(absent.failure('ls', '--driver', 'vfs')).toMatch(/absent: there is no such directory\nhint: /);
    expect(other.failure('ls')).toMatch(/tree: it looks like the home of no driver\nhint: /);
    expect(other.failure('create', 'x', '--driver', 'overlay2')).toMatch(/tree: it has no directory l, .*\nhint: /);
    expect(absent.failure('create', 'x')).toMatch(/hint: .*--driver/);
    expect(readdirSync(scratch.file('tree')).sort()).toEqual(['f', 'g']);
    expect(existsSync(absent.path)).toBe(false);
  });

  test('a layer whose records are damaged is listed as such, beside the others', () => {
    const home = makeHome('overlay2');
    writeFileSync(join(home.path, 'box', 'lower'), 'l/ABCDEFGHIJKLMNOPQRSTUVWXYZ');
    const [base, box] = home.json('ls') as HomeLayer[];
    expect(base).toEqual({ id: 'base' });
    expect(box?.damaged).toContain('lies over a layer that is gone');
    expect(home.succeed('ls', '--size')).toMatch(/^box .*damaged: /m);
    expect(home.failure('mount', 'box')).toContain('lies over a layer that is gone');
  });

  test('records that lead in a circle do not lead the commands in one', () => {
    const home = makeHome('overlay2');
    const shortName = (id: string): string => readFileSync(join(home.path, id, 'link'), 'utf8');
    mkdirSync(join(home.path, 'base', 'work'));
    writeFileSync(join(home.path, 'base', 'lower'), `l/${shortName('box')}`);
    expect(home.json('ls')).toEqual([
      { id: 'base', parent: 'box' },
      { id: 'box', parent: 'base' },
    ]);
    expect(home.failure('mount', 'box')).toContain('does not agree with that of the parent');
    expect(home.failure('rm', 'base', 'box')).toContain('it lies under');
  });
});

const podman = hasProgram('podman');
if (!podman) console.warn('no podman: its homes are not read');

describe.skipIf(!isRoot || !podman)('a home that podman keeps (needs root and podman)', () => {
  const run = (...args: readonly string[]): string => {
    const places = ['--root', scratch.file('podman'), '--runroot', scratch.file('run'), '--storage-driver', 'overlay'];
    return execFileSync('podman', [...places, ...args], { encoding: 'utf8', stdio: 'pipe' }).trim();
  };

  test('is listed, compared, mounted and exported as it is, and podman goes on with it', () => {
    mkdirSync(scratch.file('tree'));
    for (const name of ['f', 'g']) writeFileSync(scratch.file('tree', name), `content of ${name}\n`);
    execFileSync('tar', ['-C', scratch.file('tree'), '-cf', scratch.file('base.tar'), '.']);
    run('import', scratch.file('base.tar'), 'base:1');
    const container = run('create', 'base:1', '/bin/true');
    const view = run('mount', container);
    rmSync(join(view, 'f'));
    writeFileSync(join(view, 'n'), 'new');
    run('umount', container);
    run('commit', container, 'second:1');

    const home = new HomeCommands(scratch.file('podman', 'overlay')).readOnly;
    expect(detectDriver(home.path)).toBe('overlay2');
    const before = everyEntry(home.path);
    const layers = home.json('ls') as HomeLayer[];
    const base = layers.find(({ parent }) => parent === undefined);
    const others = layers.filter(({ parent }) => parent === base?.id);
    expect(layers.map(({ damaged }) => damaged).filter((reason) => reason !== undefined)).toEqual([]);
    expect(layers.length).toBe(1 + others.length);
    expect(others.length).toBe(2);
    for (const { id } of others) {
      const changes = (home.json('changes', id) as PathChange[]).map(({ kind, path }) => `${kind} ${path}`);
      expect(changes).toEqual(expect.arrayContaining(['delete /f', 'add /n']));
      expect(changes).not.toContain('modify /g');
    }
    const details = home.json('inspect', others[0]?.id ?? '') as HomeLayerDetails[];
    expect(details[0]?.ancestors).toEqual([base?.id]);
    const mounted = home.succeed('mount', others[0]?.id ?? '').trimEnd();
    expect(readFileSync(join(mounted, 'g'), 'utf8')).toBe('content of g\n');
    expect(existsSync(join(mounted, 'f'))).toBe(false);
    home.succeed('unmount', others[0]?.id ?? '');
    home.succeed('diff', base?.id ?? '', '-o', scratch.file('exported.tar'));
    expect(execFileSync('tar', ['-tf', scratch.file('exported.tar')], { encoding: 'utf8' })).toBe('./\nf\ng\n');
    expect(everyEntry(home.path)).toEqual(before);
    expect(run('mount', container)).toBe(view);
    run('umount', container);
  });
});
