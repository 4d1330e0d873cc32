/** The real containerd, with ctr and runc, on snapshots of layerstore; results are those of its own overlayfs snapshotter. */
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { chainIds, parseDigest } from '@layerstore/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CommandLine } from '../support/command.js';
import { Containerd, containerdPrograms, SnapshotServer, treeFacts } from '../support/containerd.js';
import { copyHostPrograms } from '../support/host-root.js';
import { makeDockerArchive, threeLayers, type LayerContent, type TestImage } from '../support/image.js';
import { hasProgram, isRoot, mountsBelow, Scratch } from '../support/scratch.js';

const available = isRoot && containerdPrograms.every(hasProgram);
const ours = ['layerstore', 'copies'] as const;

describe.skipIf(!available)(`containerd on layerstore (needs root, ${containerdPrograms.join(', ')})`, () => {
  let scratch: Scratch;
  let server: SnapshotServer;
  let containerd: Containerd;
  let image: TestImage;
  let layerstore: CommandLine;
  /** Name of the image's topmost snapshot. */
  let top: string;

  beforeAll(async () => {
    scratch = new Scratch('containerd', '/dev/shm');
    server = await new SnapshotServer(scratch, [
      '--snapshotter',
      `copies=${scratch.file('copies')},driver=vfs`,
    ]).start();
    const snapshotters = { layerstore: server.socket, copies: server.socket };
    containerd = await new Containerd(scratch, { snapshotters }).start();
    layerstore = new CommandLine(server.root);
    image = makeDockerArchive(scratch.file('made'), [programs, ...threeLayers], {
      reference: 'docker.io/library/made:1',
    });
    top = chainIds(image.diffIds.map((diffId) => parseDigest(diffId))).at(-1)!;
    for (const snapshotter of [...ours, 'overlayfs']) {
      containerd.ctr('images', 'import', '--snapshotter', snapshotter, image.path);
    }
  }, 120_000);
  afterAll(async () => {
    // What has not been started, because an earlier step failed, cannot be ended: the directory takes what is left with it.
    try {
      await containerd[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    } finally {
      scratch[Symbol.dispose]();
    }
  });

  const ctr = (...argv: string[]): string => containerd.ctr(...argv);
  const snapshots = (snapshotter: string, ...argv: string[]): string =>
    ctr('snapshots', '--snapshotter', snapshotter, ...argv);
  /** Snapshots that containerd wants; what it does not is collected first. */
  const keys = (snapshotter: string): string[] =>
    snapshots(snapshotter, 'ls')
      .trim()
      .split('\n')
      .slice(1)
      .map((line) => line.split(/\s+/)[0]!);
  const inView = <T>(snapshotter: string, key: string, use: (path: string) => T): T => {
    const target = scratch.file(`view-${snapshotter}`);
    mkdirSync(target, { recursive: true });
    for (const line of snapshots(snapshotter, 'mounts', target, key).trim().split('\n')) {
      execFileSync('sh', ['-c', line]);
    }
    try {
      return use(target);
    } finally {
      execFileSync('umount', [target]);
    }
  };
  /** What a snapshot changed over the image, as tar lists it; the differ gives whiteouts, and runc its /run, the time of the moment. */
  const diffLines = (snapshotter: string, key: string): string[] => {
    const tar = scratch.file(`diff-${snapshotter}.tar`);
    const plain = ['--media-type', 'application/vnd.oci.image.layer.v1.tar'];
    const line = `ctr --address "$1" snapshots --snapshotter "$2" diff ${plain.join(' ')} "$3" "$4" >"$5" && tar --full-time -tvf "$5"`;
    const listed = execFileSync('sh', ['-c', line, 'sh', containerd.socket, snapshotter, top, key, tar], {
      encoding: 'utf8',
    });
    return listed
      .trim()
      .split('\n')
      .map((entry) => entry.replace(/ +/g, ' '))
      .map((entry) => (/\.wh\.| run\/$/.test(entry) ? entry.replace(/ \d{4}-\S+ \S+ /, ' ') : entry));
  };
  const expectSound = (): void => {
    expect(layerstore.json('check')).toMatchObject({ sound: true, findings: [] });
    expect(new CommandLine(scratch.file('copies')).json('check')).toMatchObject({ sound: true, findings: [] });
  };
  /** Only layers and uppers of containers are to be mounted while containers run. */
  const leakedMounts = (): string[] => mountsBelow(scratch.path).filter((point) => point.includes('-root/'));

  describe.each(ours)('as the snapshotter %s', (snapshotter) => {
    it('unpacks an image to the tree that overlayfs gives', () => {
      // An overlay shows the number of names that a file had in its layer; a copy has those that are left.
      const links = (facts: readonly string[]): string[] =>
        snapshotter === 'copies' ? facts.map((line) => line.replace(/^(.* f .*) \d+$/, '$1')) : [...facts];
      const facts = [snapshotter, 'overlayfs'].map((name) => {
        snapshots(name, 'prepare', `compare-${name}`, top);
        try {
          return inView(name, `compare-${name}`, treeFacts);
        } finally {
          snapshots(name, 'rm', `compare-${name}`);
        }
      });
      expect(facts[0]!.length).toBeGreaterThan(30);
      expect(links(facts[0]!)).toEqual(links(facts[1]!));
    });

    it('runs a container with runc, takes a second program into it, and gives the diff that overlayfs gives', async () => {
      const diffs: string[][] = [];
      for (const name of [snapshotter, 'overlayfs']) {
        const id = `box-${name}`;
        const change =
          'echo new >/srv/new && rm /etc/hostname && rm -r /usr/share/doc && mkdir /usr/share/doc && chmod 750 /srv';
        const settle = 'touch -d @1700000000 /srv/new /srv /etc /usr /usr/share /usr/share/doc';
        await using box = containerd.run(name, image.reference, id, 'sleep', '1000');
        box.exec('one', 'sh', '-c', `${change} && ${settle}`);
        diffs.push(diffLines(name, id));
      }
      expect(diffs[0]).toContain('-rw-r--r-- 0/0 4 2023-11-14 22:13:20 srv/new');
      expect(diffs[0]).toEqual(diffs[1]);
      expect(leakedMounts()).toEqual([]);
    });

    it('commits what a container changed, and runs on top of it', () => {
      snapshots(snapshotter, 'prepare', 'work', top);
      inView(snapshotter, 'work', (path) => writeFileSync(join(path, 'committed'), 'yes\n'));
      snapshots(snapshotter, 'commit', 'work-committed', 'work');
      snapshots(snapshotter, 'prepare', 'above', 'work-committed');
      expect(
        inView(snapshotter, 'above', (path) => execFileSync('cat', [join(path, 'committed')], { encoding: 'utf8' })),
      ).toBe('yes\n');
      expect(() => snapshots(snapshotter, 'rm', 'work-committed')).toThrow('cannot remove snapshot with child');
      snapshots(snapshotter, 'rm', 'above');
      snapshots(snapshotter, 'rm', 'work-committed');
    });

    it('refuses to write into a view', () => {
      containerd.withView(snapshotter, top, scratch.file('readonly'), (path) => {
        expect(readdirSync(path)).toContain('etc');
        expect(() => writeFileSync(join(path, 'x'), '')).toThrow('EROFS');
      });
    });

    it('keeps labels, and tells what a container takes', () => {
      snapshots(snapshotter, 'prepare', 'measured', top);
      snapshots(snapshotter, 'label', 'measured', 'containerd.io/snapshot/test=a value, with a comma');
      const info = JSON.parse(snapshots(snapshotter, 'info', 'measured')) as { Labels: Record<string, string> };
      expect(info.Labels['containerd.io/snapshot/test']).toBe('a value, with a comma');
      const usage = (): number => Number(snapshots(snapshotter, 'usage', '-b', 'measured').trim().split(/\s+/).at(-2));
      const before = usage();
      inView(snapshotter, 'measured', (path) => writeFileSync(join(path, 'written'), Buffer.alloc(1 << 20, 1)));
      expect(usage() - before).toBeGreaterThanOrEqual(1 << 20);
      snapshots(snapshotter, 'rm', 'measured');
    });
  });

  it('stacks sixty layers', () => {
    const layers = Array.from({ length: 60 }, (_, index): LayerContent => (directory) => {
      writeFileSync(join(directory, `file-${index}`), `${index}\n`);
      writeFileSync(join(directory, 'newest'), `${index}\n`);
      if (index > 1) writeFileSync(join(directory, `.wh.file-${index - 1}`), '');
    });
    const deep = makeDockerArchive(scratch.file('deep'), [programs, ...layers.slice(1)], {
      reference: 'docker.io/library/deep:1',
    });
    ctr('images', 'import', '--snapshotter', 'layerstore', deep.path);
    expect(keys('layerstore').length).toBe(64);
    const listed = ctr(
      'run',
      '--rm',
      '--runc-root',
      containerd.runcRoot,
      '--snapshotter',
      'layerstore',
      deep.reference,
      'deep',
      'sh',
      '-c',
      'echo /file* && cat /newest',
    );
    expect(listed).toBe('/file-59\n59\n');
    ctr('images', 'rm', '--sync', deep.reference);
    expect(keys('layerstore').length).toBe(4);
    expectSound();
  });

  it('runs many containers at once', async () => {
    const numbers = Array.from({ length: 12 }, (_, index) => index);
    const outputs = await Promise.all(
      numbers.map(async (number) => {
        const argv = [
          '--runc-root',
          containerd.runcRoot,
          '--snapshotter',
          'layerstore',
          image.reference,
          `many-${number}`,
        ];
        return containerd.ctrAsync('run', '--rm', ...argv, 'sh', '-c', `echo ${number} >/srv/mine; cat /srv/mine`);
      }),
    );
    expect(outputs).toEqual(numbers.map((number) => `${number}\n`));
    expect(keys('layerstore').length).toBe(4);
    expect(leakedMounts()).toEqual([]);
  });

  it('goes on after either side was ended or killed, without a container noticing', async () => {
    await using box = containerd.run('layerstore', image.reference, 'lasting', 'sleep', '1000');
    const append = (id: string): string => {
      box.exec(id, 'sh', '-c', 'echo x >>/srv/log');
      return readFileSync(join(box.rootfs, 'srv/log'), 'utf8');
    };
    expect(append('before')).toBe('x\n');
    const mounts = snapshots('layerstore', 'mounts', '/target', 'lasting');
    await server.end('SIGKILL');
    expect(() => snapshots('layerstore', 'prepare', 'lost')).toThrow('unavailable');
    await server.start();
    await containerd.reach('layerstore');
    expect(snapshots('layerstore', 'mounts', '/target', 'lasting')).toBe(mounts);
    await containerd.end('SIGKILL');
    await containerd.start();
    expect(append('after')).toBe('x\nx\n');
    expect(await server.end('SIGTERM')).toBe(0);
    expect(existsSync(server.socket)).toBe(false);
    await server.start();
    await containerd.reach('layerstore');
    expectSound();
  });

  it('shows people what engines have, and what nobody uses', () => {
    snapshots('layerstore', 'prepare', 'forgotten');
    const listed = layerstore.json('snapshots', 'ls') as { key: string; owner: string; kind: string }[];
    expect(listed.map(({ owner }) => owner)).toEqual(Array(5).fill('containerd/layerstore'));
    expect(layerstore.succeed('snapshots', 'tree')).toMatch(
      /^containerd\/layerstore\n {2}default\/\d+\/sha256:.*\n {4}default/,
    );
    expect(layerstore.succeed('snapshots', 'usage').split('\n')[0]).toMatch(/^SIZE +INODES +KIND +OWNER +KEY$/);
    expect(layerstore.succeed('snapshots', 'orphans')).not.toContain('forgotten');
    expect(layerstore.succeed('snapshots', 'orphans', '--older-than', '0s')).toContain('/forgotten');
    snapshots('layerstore', 'rm', 'forgotten');
  });

  it('is collected by containerd alone: what the store and other owners have stays', () => {
    const own = makeDockerArchive(scratch.file('own'), threeLayers, { reference: 'own:1' });
    layerstore.succeed('load', '-i', own.path);
    layerstore.succeed('create', 'own:1', '--name', 'box');
    ctr('images', 'rm', '--sync', image.reference);
    expect(keys('layerstore')).toEqual([]);
    expect(keys('copies')).toEqual([]);
    layerstore.succeed('prune');
    expect(layerstore.succeed('images', '--no-trunc')).toContain('own');
    expect(layerstore.json('snapshots', 'ls')).toEqual([]);
    expect(layerstore.json('check', '--verify')).toMatchObject({ sound: true, leftovers: [] });
    expect(existsSync(scratch.file('copies', 'home', 'dir'))).toBe(true);
    expect(readdirSync(scratch.file('copies', 'home', 'dir'))).toEqual([]);
  });

  it('answers every call in its log with an id, and faults none', () => {
    const faults = server.records().filter(({ level }) => level === 'error');
    expect(faults).toEqual([]);
    const answered = server.records().filter(({ msg }) => msg === 'answered');
    expect(new Set(answered.map(({ request }) => request)).size).toBe(answered.length);
    expect(new Set(answered.map(({ method }) => method)).size).toBe(10);
  });
});

/** A base that can run something. */
const programs: LayerContent = (directory) => {
  copyHostPrograms(directory, ['sh', 'sleep', 'cat', 'rm', 'mkdir', 'chmod', 'touch', 'echo']);
  writeFileSync(join(directory, 'etc/os-release'), 'NAME=test\n');
  symlinkSync('os-release', join(directory, 'etc/release'));
  appendFileSync(join(directory, 'bin/empty'), '');
  rmSync(join(directory, 'bin/empty'));
};
