/** Thin images in the real containerd: unpacked by it, and answered from the store. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { chainIds, parseDigest } from '@layerstore/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CommandLine } from '../support/command.js';
import { Containerd, containerdPrograms, Registry, SnapshotServer, treeFacts } from '../support/containerd.js';
import { pullThroughCri } from '../support/cri-pull.js';
import { CvmfsFixture } from '../support/cvmfs-fixture.js';
import { sha256, type TestImage } from '../support/image.js';
import { hasProgram, isRoot, Scratch } from '../support/scratch.js';
import { ingestedLayer, makeThinImage, ThrottledRepository } from '../support/thin-image.js';

const needed = [...containerdPrograms, 'docker-registry', 'skopeo'];
const available = isRoot && needed.every(hasProgram);
const large = CvmfsFixture.expected('manifest.json').find(({ path }) => path === `/${ingestedLayer}/usr/large`)?.sha256;

describe.skipIf(!available)(`thin images in containerd (needs root, ${needed.join(', ')})`, () => {
  let scratch: Scratch;
  let repository: ThrottledRepository;
  let server: SnapshotServer;
  let containerd: Containerd;
  let registry: Registry;
  let layerstore: CommandLine;
  let options: string[];
  let image: TestImage;
  let top: string;

  beforeAll(async () => {
    scratch = new Scratch('ct', '/dev/shm');
    repository = await ThrottledRepository.serve(scratch.file('repository'));
    options = repository.options('cache');
    server = await new SnapshotServer(scratch, options).start();
    containerd = await new Containerd(scratch, {
      snapshotters: { layerstore: server.socket },
      cri: 'layerstore',
    }).start();
    registry = await Registry.start(scratch);
    layerstore = new CommandLine(server.root);
    image = makeThinImage(scratch.file('made'), 'docker.io/library/thin:1');
    top = chainIds(image.diffIds.map((id) => parseDigest(id))).at(-1)!;
  }, 120_000);
  afterAll(async () => {
    await registry[Symbol.asyncDispose]();
    await containerd[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
    // What snapshots keep open is let go by the next who opens the root, once they are gone.
    layerstore.run(...options, 'prune');
    expect(uses()).toEqual([]);
    scratch[Symbol.dispose]();
    await repository[Symbol.asyncDispose]();
  });

  const ctr = (...argv: string[]): string => containerd.ctr(...argv);
  const uses = (): string[] => {
    const path = join(server.root, 'home', '.layerstore', 'thin', 'uses');
    return existsSync(path) ? readdirSync(path) : [];
  };
  const shown = (facts: readonly string[]): string => facts.join('\n');

  it('unpacks a thin image while no server answers, and runs a container on it when one does', async () => {
    repository.cut();
    ctr('images', 'import', '--snapshotter', 'layerstore', image.path);
    repository.slow(5);
    await using box = containerd.run('layerstore', image.reference, 'box', 'sleep', '1000');
    expect(sha256(readFileSync(join(box.rootfs, 'usr/large')))).toBe(large);
    expect(readdirSync(join(box.rootfs, 'opq'))).toEqual(['kept']);
    expect(existsSync(join(box.rootfs, 'thin.json'))).toBe(false);
    box.exec('one', 'sh', '-c', 'rm /usr/share/one; mkdir /srv/made');
    expect(readdirSync(join(box.rootfs, 'usr/share'))).toEqual(['uno']);
    repository.slow(0);
  });

  it('gives the same mounts after the server was killed', async () => {
    ctr('snapshots', '--snapshotter', 'layerstore', 'prepare', 'lasting', top);
    const mounts = (): string => ctr('snapshots', '--snapshotter', 'layerstore', 'mounts', '/target', 'lasting');
    const before = mounts();
    expect(uses()).toHaveLength(1);
    await server.end('SIGKILL');
    await server.start();
    await containerd.reach('layerstore');
    expect(mounts()).toBe(before);
    ctr('snapshots', '--snapshotter', 'layerstore', 'rm', 'lasting');
  });

  it('shows in a view what lies over the thin layer, not its list', () => {
    containerd.withView('layerstore', top, scratch.file('view'), (path) => {
      expect(readdirSync(path)).toContain('opq');
      expect(readdirSync(path)).not.toContain('thin.json');
      expect(readdirSync(join(path, 'etc'))).not.toContain('removed');
    });
  });

  it('a thin layer that the store has answers Prepare: nothing but the config is fetched', async () => {
    ctr('images', 'rm', '--sync', image.reference);
    layerstore.succeed(...options, 'load', '-i', image.path);
    const reference = registry.push(image.path, 'thin:1');
    const before = registry.fetchedBlobs().length;
    await pullThroughCri(containerd.socket, reference);
    expect(registry.fetchedBlobs().slice(before)).toHaveLength(1);
    const facts = containerd.withView('layerstore', top, scratch.file('facts'), treeFacts, 'k8s.io');
    expect(shown(facts)).toContain('usr/large');
    expect(shown(facts)).not.toMatch(/thin\.json|\.wh\./);
    expect(layerstore.run(...options, 'check', '--verify')).toMatchObject({ code: 0 });
  });
});
