/** The real dockerd with its own client, on layerstore as its graph driver, beside the same engine on a driver of its own. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { driverNames, type DriverName } from '@layerstore/drivers';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { PluginEngine } from '../support/docker-plugin.js';
import { DockerRegistry } from '../support/docker-registry.js';
import { DockerDaemon, hasDockerd } from '../support/dockerd.js';
import { copyHostPrograms } from '../support/host-root.js';
import { makeDockerArchive, sha256, threeLayers, type TestImage } from '../support/image.js';
import { hasProgram, mountsBelow, Scratch } from '../support/scratch.js';

/** Either of the two engines. */
interface Engine {
  docker(...args: readonly string[]): string;
}

/** What the engine itself uses beside the plugin; its aufs needs a kernel that has it. */
const ownDriver = (driver: DriverName): string => ((driver as string) === 'aufs' ? 'overlay2' : driver);

/** Changes of all kinds, with times that do not depend on when they are made. */
const edits = `
  set -e
  echo new > /srv/new
  mkdir -p /srv/deep/er && echo x > /srv/deep/er/file && ln -s ../file /srv/deep/link
  ln /srv/new /srv/hard
  rm /etc/hostnames /usr/share/going/gone
  rm -r /usr/share/replaced && mkdir /usr/share/replaced && echo r > /usr/share/replaced/r
  mv /usr/share/moved /usr/share/renamed
  chmod 0600 /etc/passwd
  echo more >> /etc/name-of-file
  touch -h -d @1600000000 /srv/deep/link
  touch -d @1600000000 /srv/new /srv/deep/er/file /srv/deep/er /srv/deep /srv /usr/share/replaced/r /usr/share/replaced \\
    /usr/share/renamed /usr/share/going /usr/share /usr /etc/name-of-file /etc`;

// On a machine that does something else besides, everything takes several times as long.
vi.setConfig({ testTimeout: 240_000 });

describe.skipIf(!hasDockerd).each(driverNames)('dockerd on the plugin, %s (needs root and docker.io)', (driver) => {
  let scratch: Scratch;
  let ours: PluginEngine;
  let theirs: DockerDaemon;
  let image: TestImage;
  const both = (): readonly Engine[] => [ours, theirs];

  beforeAll(async () => {
    scratch = new Scratch('dk');
    image = makeDockerArchive(scratch.file('image'), [programs, ...threeLayers], { reference: 'made:1' });
    ours = await PluginEngine.start(scratch.file('o'), { driver });
    theirs = await DockerDaemon.start(scratch.file('t'), {
      driver: ownDriver(driver),
      arguments: ['--log-level=warn'],
    });
  });
  afterAll(async () => {
    await ours[Symbol.asyncDispose]();
    await theirs.stop();
    const left = mountsBelow(scratch.path);
    scratch[Symbol.dispose]();
    expect(left).toEqual([]);
  });

  it('shows the status of the driver in `docker info`', () => {
    const info = ours.docker('info');
    expect(info).toContain(`Storage Driver: ${ours.name}`);
    expect(info).toContain(`Layerstore Driver: ${driver}`);
    expect(info).toContain('Backing Filesystem: ');
  });

  it('loads an image with the same ids, sizes and layer digests, and saves the same archive', () => {
    for (const engine of both()) engine.docker('load', '-i', image.path);
    for (const format of ['{{.Id}}', '{{json .RootFS}}', '{{.Size}}']) {
      expect(ours.docker('image', 'inspect', '--format', format, 'made:1')).toBe(
        theirs.docker('image', 'inspect', '--format', format, 'made:1'),
      );
    }
    expect(saved(ours, 'made:1')).toEqual(saved(theirs, 'made:1'));
  });

  it('imports a root file system', () => {
    const tar = scratch.file('root.tar');
    execFileSync('tar', ['-C', scratch.file('image', 'layer-0'), '-cf', tar, '.']);
    for (const engine of both()) engine.docker('import', tar, 'imported:1');
    expect(layersOf(ours, 'imported:1')).toEqual(layersOf(theirs, 'imported:1'));
    expect(ours.docker('run', '--rm', '--network=none', 'imported:1', 'cat', '/etc/mark')).toBe('programs');
  });

  it.skipIf(!hasProgram('docker-registry'))(
    'pushes what the other pulls with equal digests (needs docker-registry)',
    async () => {
      await using registry = await DockerRegistry.start(scratch.file('registry'));
      const name = `${registry.host}/made:1`;
      ours.docker('tag', 'made:1', name);
      ours.docker('push', name);
      const digest = digestOf(ours, name);
      ours.docker('rmi', 'made:1', name);
      for (const engine of both()) {
        engine.docker('pull', name);
        expect(digestOf(engine, name)).toBe(digest);
        expect(engine.docker('image', 'inspect', '--format', '{{.Id}}', name)).toBe(image.id);
      }
      ours.docker('tag', name, 'made:1');
    },
  );

  it('runs a container, and tells and commits its changes as the engine does by itself', () => {
    const box = (engine: Engine) => {
      engine.docker('run', '--name', 'box', '--network=none', 'made:1', 'sh', '-c', edits);
      const commit = engine.docker('commit', 'box', 'changed:1');
      return {
        changes: engine.docker('diff', 'box').split('\n').sort(),
        size: engine.docker('ps', '-a', '-s', '--filter', 'name=box', '--format', '{{.Size}}'),
        layer: lastLayer(engine, commit),
        bytes: engine.docker('image', 'inspect', '--format', '{{.Size}}', commit),
      };
    };
    expect(box(ours)).toEqual(box(theirs));
    expect(exported(ours, 'box')).toEqual(exported(theirs, 'box'));
    const again = ours.docker('run', '--rm', '--network=none', 'changed:1', 'sh', '-c', 'cat /srv/hard; ls /usr/share');
    expect(again.split('\n')).toEqual(['new', 'doc', 'going', 'renamed', 'replaced']);
  });

  // Only here does the engine write the upper directory as it is; elsewhere it compares views.
  if (driver === 'overlay2') {
    it('commits the same bytes as the engine by itself, for the same upper directory', () => {
      theirs.docker('create', '--name', 'twin', '--network=none', 'made:1', 'sh');
      const upper = (engine: Engine, name: string) =>
        engine.docker('inspect', '--format', '{{.GraphDriver.Data.UpperDir}}', name);
      // Whiteouts are devices whose times nobody can set: only a copy of the directory is the same.
      execFileSync('sh', ['-c', 'rm -rf "$2" && cp -a "$1" "$2"', 'sh', upper(ours, 'box'), upper(theirs, 'twin')]);
      const [own] = layersOf(theirs, theirs.docker('commit', 'twin')).slice(-1);
      expect(layersOf(ours, 'changed:1').at(-1)).toBe(own);
    });
  }

  it('shows where the layers of a container lie', () => {
    const data = ours.docker('inspect', '--format', '{{json .GraphDriver}}', 'box');
    expect(JSON.parse(data)).toMatchObject({ Name: ours.name });
    if (driver !== 'overlay2') return;
    const { Data } = JSON.parse(data) as { Data: Record<string, string> };
    expect(Object.keys(Data).sort()).toEqual(['LowerDir', 'MergedDir', 'UpperDir', 'WorkDir']);
    expect(Data['UpperDir']?.startsWith(`${ours.home}/`)).toBe(true);
  });

  it('copies into and out of containers', () => {
    const file = scratch.file('copied');
    writeFileSync(file, 'from outside');
    ours.docker('cp', file, 'box:/srv/copied');
    ours.docker('cp', 'box:/srv/copied', `${file}.back`);
    expect(readFileSync(`${file}.back`, 'utf8')).toBe('from outside');
    expect(ours.docker('diff', 'box')).toContain('A /srv/copied');
  });

  it('builds with the classic builder: COPY, ADD, RUN, several stages, and cache hits', () => {
    const context = buildContext();
    const build = () => ours.docker('build', '--network=none', '-t', 'built:1', context);
    expect(build()).toContain('Successfully tagged built:1');
    expect(build().match(/---> Using cache/g)).toHaveLength(6);
    const shown = ours.docker(
      'run',
      '--rm',
      '--network=none',
      'built:1',
      'sh',
      '-c',
      'cat /out/made /in/added; ls /in',
    );
    expect(shown.split('\n')).toEqual(['copied', 'added', 'added']);
  });

  it('builds with BuildKit', () => {
    const context = buildContext();
    const environment = { ...ours.engine.environment(), DOCKER_BUILDKIT: '1' };
    const argv = ['build', '--network=none', '--progress=plain', '-t', 'built:2', context];
    execFileSync('/usr/bin/docker', argv, { env: environment, stdio: 'pipe' });
    const shown = ours.docker('run', '--rm', '--network=none', 'built:2', 'sh', '-c', 'cat /out/made /in/added');
    expect(shown.split('\n')).toEqual(['copied', 'added']);
    const { stderr } = {
      stderr: execFileSync('sh', ['-c', '/usr/bin/docker "$@" 2>&1', 'sh', ...argv], {
        env: environment,
        encoding: 'utf8',
      }),
    };
    expect(stderr.match(/CACHED/g)?.length).toBeGreaterThan(3);
  });

  it('removes containers and images, and prunes everything: nothing is left in the home', () => {
    ours.docker('rm', 'box');
    ours.docker('rmi', 'changed:1');
    ours.docker('system', 'prune', '--all', '--force');
    ours.docker('builder', 'prune', '--all', '--force');
    expect(ours.docker('images', '-q')).toBe('');
    expect(layersIn(ours.home)).toEqual([]);
  });

  function buildContext(): string {
    const context = scratch.file('context');
    mkdirSync(context, { recursive: true });
    writeFileSync(join(context, 'file'), 'copied\n');
    writeFileSync(join(context, 'added'), 'added\n');
    execFileSync('tar', ['-C', context, '-cf', join(context, 'add.tar'), 'added']);
    writeFileSync(
      join(context, 'Dockerfile'),
      `FROM imported:1 AS first
COPY file /file
RUN mkdir /work && cp /file /work/made
FROM imported:1
ADD add.tar /in/
COPY --from=first /work /out
RUN rm -r /srv && mkdir /srv
RUN echo last > /srv/last
`,
    );
    return context;
  }

  /** Digests of the members of what `docker save` writes. */
  function saved(engine: Engine, name: string): Record<string, string> {
    using directory = new Scratch('saved', scratch.path);
    const archive = directory.file('image.tar');
    const tree = directory.file('tree');
    mkdirSync(tree);
    engine.docker('save', '-o', archive, name);
    execFileSync('tar', ['-C', tree, '-xf', archive]);
    const names = readdirSync(tree, { recursive: true, withFileTypes: true, encoding: 'utf8' })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
    return Object.fromEntries(names.map((file) => [file.slice(tree.length), sha256(readFileSync(file))]));
  }

  /** Lists the uppermost layer; whiteouts have the time at which they were made. */
  function lastLayer(engine: Engine, name: string): string[] {
    using directory = new Scratch('saved', scratch.path);
    const archive = directory.file('image.tar');
    engine.docker('save', '-o', archive, name);
    const untar = (...argv: string[]): string => execFileSync('tar', argv, { cwd: directory.path, encoding: 'utf8' });
    const [{ Layers }] = JSON.parse(untar('-xOf', archive, 'manifest.json')) as [{ Layers: string[] }];
    untar('-xf', archive, Layers.at(-1) ?? '');
    const listing = untar('--full-time', '-tvf', Layers.at(-1) ?? '')
      .trim()
      .split('\n');
    return listing.map((line) => (line.includes('/.wh.') ? line.replace(/\d{4}-\S+ \S+/, 'TIME') : line));
  }

  /** Names, modes, owners and sizes in what `docker export` writes. */
  function exported(engine: Engine, container: string): string[] {
    const tar = scratch.file('exported.tar');
    engine.docker('export', '-o', tar, container);
    const listing = execFileSync('tar', ['--numeric-owner', '--full-time', '-tvf', tar], { encoding: 'utf8' });
    // What the engine itself puts into every container has the time at which it did.
    return listing.split('\n').filter((line) => !/ (dev|etc|proc|sys|\.dockerenv)/.test(line));
  }
});

const layersOf = (engine: Engine, name: string): string[] =>
  JSON.parse(engine.docker('image', 'inspect', '--format', '{{json .RootFS.Layers}}', name)) as string[];

function digestOf(engine: Engine, name: string): string {
  const digests = JSON.parse(engine.docker('image', 'inspect', '--format', '{{json .RepoDigests}}', name)) as string[];
  return digests[0]?.split('@')[1] ?? '';
}

/** Everything in a home that is not the driver's own. */
function layersIn(home: string): string[] {
  const own = ['.layerstore', 'l', 'dir', 'mnt', 'diff', 'layers'];
  const top = readdirSync(home);
  const below = ['dir', 'mnt', 'diff', 'layers'].filter((name) => top.includes(name));
  return [...top.filter((name) => !own.includes(name)), ...below.flatMap((name) => readdirSync(join(home, name)))];
}

function programs(directory: string): void {
  const names = ['sh', 'ls', 'cat', 'cp', 'rm', 'mkdir', 'touch', 'chmod', 'ln', 'sleep', 'mv'];
  copyHostPrograms(directory, names);
  for (const name of ['going', 'moved', 'replaced']) mkdirSync(join(directory, 'usr/share', name), { recursive: true });
  writeFileSync(join(directory, 'usr/share/moved/file'), 'moves\n');
  writeFileSync(join(directory, 'usr/share/replaced/old'), 'old\n');
  writeFileSync(join(directory, 'usr/share/going/gone'), 'goes\n');
  writeFileSync(join(directory, 'etc/hostnames'), 'goes\n');
  writeFileSync(join(directory, 'etc/name-of-file'), 'more\n');
  writeFileSync(join(directory, 'etc/mark'), 'programs\n');
}
