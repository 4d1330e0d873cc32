/**
 * The real dockerd runs thin images on the plugin. The programs of the containers are in an ordinary layer; a thin one over it is in the
 * repository that the standard tools made, behind a server that is slowed down and cut off.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { CvmfsFixture } from '../support/cvmfs-fixture.js';
import { PluginEngine } from '../support/docker-plugin.js';
import { DockerRegistry } from '../support/docker-registry.js';
import { hasDockerd } from '../support/dockerd.js';
import { sha256, type TestImage } from '../support/image.js';
import { hasProgram, mountsBelow, Scratch } from '../support/scratch.js';
import { ingestedLayer, makeThinImage, ThrottledRepository } from '../support/thin-image.js';

const large = CvmfsFixture.expected('manifest.json').find(({ path }) => path === `/${ingestedLayer}/usr/large`)?.sha256;

vi.setConfig({ testTimeout: 240_000 });

describe.skipIf(!hasDockerd).each(['overlay2', 'aufs'])(
  'thin images in dockerd, %s (needs root and docker.io)',
  (driver) => {
    let scratch: Scratch;
    let repository: ThrottledRepository;
    let ours: PluginEngine;
    let image: TestImage;

    beforeAll(async () => {
      scratch = new Scratch('dt');
      repository = await ThrottledRepository.serve(scratch.file('r'));
      image = makeThinImage(scratch.file('image'), 'thin:1');
      ours = await PluginEngine.start(scratch.file('o'), { driver, arguments: repository.options('cache') });
    });
    afterAll(async () => {
      await ours[Symbol.asyncDispose]();
      const left = mountsBelow(scratch.path);
      await repository[Symbol.asyncDispose]();
      scratch[Symbol.dispose]();
      expect(left).toEqual([]);
    });

    const docker = (...args: readonly string[]): string => ours.docker(...args);
    const inContainer = (script: string, name = 'thin:1'): string =>
      docker('run', '--rm', '--network=none', name, 'sh', '-c', script);
    const uses = (): string[] => readdirSync(join(ours.home, '.layerstore', 'thin', 'uses'));

    it('loads a thin image while its repository cannot be reached', () => {
      repository.cut();
      docker('load', '-i', image.path);
      expect(docker('image', 'inspect', '--format', '{{.Id}}', 'thin:1')).toBe(image.id);
      expect(docker('info')).toContain('Thin Images: native');
    });

    it('tells why a container does not start, and starts it when the repository is back', () => {
      const refused = ours.engine.run('run', '--rm', '--network=none', 'thin:1', 'sh', '-c', 'true');
      expect(refused.code).toBe(125);
      expect(refused.stderr).toContain(CvmfsFixture.repository);
      repository.slow(0);
      expect(inContainer('ls /opq /usr/share')).toBe('/opq:\nkept\n\n/usr/share:\none\nuno');
    });

    it('shows files as they come, through a slow network; what was deleted stays deleted', () => {
      repository.slow(30);
      const shown = inContainer('ls -A /opq /etc; sha256sum /usr/large');
      repository.slow(0);
      expect(shown).toContain(large);
      expect(shown).toContain('stays');
      expect(shown).not.toMatch(/removed|\.wh\.|hidden/);
    });

    it('a container that runs survives an outage: what it has is read, its writable layer is whole, the rest comes later', () => {
      docker('run', '-d', '--name', 'box', '--network=none', 'thin:1', 'sleep', '1000');
      expect(uses()).toHaveLength(1);
      expect(docker('exec', 'box', 'cat', '/usr/share/one')).toBe(inContainer('cat /usr/share/one'));
      repository.cut();
      expect(docker('exec', 'box', 'sh', '-c', 'sha256sum /usr/large; echo written > /usr/written')).toContain(large);
      const unread = ours.engine.run('exec', 'box', 'cat', '/etc/conf');
      repository.slow(0);
      if (unread.code !== 0) expect(unread.stderr).toContain('Input/output error');
      docker('exec', 'box', 'cat', '/etc/conf');
      expect(docker('exec', 'box', 'cat', '/usr/written')).toBe('written');
      expect(docker('diff', 'box').split('\n').sort()).toEqual(['A /usr/written', 'C /usr']);
    });

    it('commits an ordinary layer, also while the container runs, and starts from it', () => {
      docker('exec', 'box', 'rm', '/usr/share/one');
      docker('commit', 'box', 'changed:1');
      expect(inContainer('cat /usr/written; ls /usr/share', 'changed:1')).toBe('written\nuno');
      const layers = JSON.parse(
        docker('image', 'inspect', '--format', '{{json .RootFS.Layers}}', 'changed:1'),
      ) as string[];
      expect(layers.slice(0, 2)).toEqual(image.diffIds);
    });

    it('builds on a thin image', () => {
      const context = scratch.file('context');
      mkdirSync(context);
      writeFileSync(
        join(context, 'Dockerfile'),
        'FROM thin:1\nRUN rm -r /opq && mkdir /opq && cp /usr/share/one /opq/\nCOPY Dockerfile /\n',
      );
      docker('build', '--network=none', '-t', 'built:1', context);
      expect(inContainer('ls /opq; ls -d /Dockerfile', 'built:1')).toBe('one\n/Dockerfile');
    });

    it('a plugin that is killed leaves running containers as they are, and the next lets go of them', async () => {
      await ours.restartPlugin('SIGKILL');
      expect(docker('exec', 'box', 'cat', '/usr/share/uno')).not.toBe('');
      expect(uses()).toHaveLength(1);
      docker('rm', '-f', 'box');
      expect(uses()).toEqual([]);
      expect(inContainer('cat /usr/share/uno')).not.toBe('');
    });

    it('refuses to commit a container that wrote a thin.json and nothing else', () => {
      docker('create', '--name', 'planted', '--network=none', 'changed:1', 'sh');
      const file = scratch.file('thin.json');
      const url = `cvmfs://${CvmfsFixture.repository}/${ingestedLayer}`;
      writeFileSync(file, JSON.stringify({ version: '1.0', layers: [{ digest: 'a'.repeat(64), url }] }));
      docker('cp', file, 'planted:/thin.json');
      const refused = ours.engine.run('commit', 'planted', 'planted:1');
      expect(refused.code).toBe(1);
      expect(refused.stderr).toContain('has written a thin.json');
      docker('rm', 'planted');
    });

    it('saves the thin image as it was loaded, with equal digests', () => {
      const [archive, tree] = [scratch.file('saved.tar'), scratch.file('saved')];
      docker('save', '-o', archive, 'thin:1');
      mkdirSync(tree);
      execFileSync('tar', ['-C', tree, '-xf', archive]);
      const [{ Layers, Config }] = JSON.parse(readFileSync(join(tree, 'manifest.json'), 'utf8')) as [
        { Layers: string[]; Config: string },
      ];
      expect(Layers.map((name) => `sha256:${sha256(readFileSync(join(tree, name)))}`)).toEqual(image.diffIds);
      expect(`sha256:${sha256(readFileSync(join(tree, Config)))}`).toBe(image.id);
    });

    it.skipIf(!hasProgram('docker-registry'))(
      'pushes it and pulls it with equal digests (needs docker-registry)',
      async () => {
        await using registry = await DockerRegistry.start(scratch.file('registry'));
        const name = `${registry.host}/thin:1`;
        docker('tag', 'thin:1', name);
        const digest = (text: string): string =>
          /digest: (sha256:[0-9a-f]{64})|Digest: (sha256:[0-9a-f]{64})/.exec(text)?.slice(1).find(Boolean) ?? '';
        const pushed = digest(docker('push', name));
        docker('rmi', 'built:1', 'changed:1', 'thin:1', name);
        expect(digest(docker('pull', name))).toBe(pushed);
        expect(docker('image', 'inspect', '--format', '{{.Id}}', name)).toBe(image.id);
        expect(inContainer('sha256sum /usr/large', name)).toContain(large);
        docker('rmi', name);
      },
    );

    it('leaves nothing: no layer, no use of a repository, no mount', () => {
      docker('system', 'prune', '--all', '--force');
      expect(uses()).toEqual([]);
      expect(docker('images', '-q')).toBe('');
    });
  },
);
