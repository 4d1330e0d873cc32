/** The plugin, the engine, or both end while containers run, and go on where they were. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { driverNames } from '@layerstore/drivers';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { PluginEngine, serviceManager } from '../support/docker-plugin.js';
import { hasDockerd } from '../support/dockerd.js';
import { copyHostPrograms } from '../support/host-root.js';
import { makeDockerArchive, type TestImage } from '../support/image.js';
import { mountsBelow, Scratch } from '../support/scratch.js';

const programs = (directory: string): void => {
  copyHostPrograms(directory, ['sh', 'cat', 'sleep', 'ls', 'mv']);
  writeFileSync(join(directory, 'etc/mark'), 'programs\n');
};

// Engines take seconds to start, on a machine that does something else besides many.
vi.setConfig({ testTimeout: 240_000 });

describe.skipIf(!hasDockerd)('the plugin and its engine (needs root and docker.io)', () => {
  let scratch: Scratch;
  let image: TestImage;
  let engine: PluginEngine;
  let started = 0;

  beforeAll(() => {
    scratch = new Scratch('dr');
    image = makeDockerArchive(scratch.file('image'), [programs], { reference: 'made:1' });
  });
  afterAll(() => scratch[Symbol.dispose]());

  const count = (container: string): number =>
    Number(engine.docker('exec', container, 'cat', '/srv/count').trim() || '0');

  /** A container that counts as long as it runs. */
  const startCounting = (name: string): void => {
    const loop =
      'echo 0 > /srv/count; i=0; while :; do i=$((i+1)); echo $i > /srv/next; mv /srv/next /srv/count; sleep 0.05; done';
    engine.docker('run', '-d', '--name', name, '--network=none', 'made:1', 'sh', '-c', loop);
  };

  const goesOn = async (container: string): Promise<void> => {
    const before = count(container);
    for (let attempt = 0; attempt < 100 && count(container) <= before; attempt += 1) await delay(50);
    expect(count(container)).toBeGreaterThan(before);
  };

  describe.each(driverNames)('%s', (driver) => {
    beforeEach(async () => {
      started += 1;
      engine = await PluginEngine.start(scratch.file(`e${started}`), { driver, daemonArguments: ['--live-restore'] });
      engine.docker('load', '-i', image.path);
    });
    afterEach(async () => {
      for (const id of engine.docker('ps', '-aq').split('\n').filter(Boolean)) engine.docker('rm', '-f', id);
      await engine[Symbol.asyncDispose]();
      expect(mountsBelow(scratch.path)).toEqual([]);
    });

    it('a plugin that is killed takes up running containers when it is started again', async () => {
      startCounting('box');
      await goesOn('box');
      await engine.restartPlugin('SIGKILL');
      await goesOn('box');
      // One more user of the view comes and goes: the container's own must not go with it.
      writeFileSync(scratch.file('copied'), 'copied\n');
      engine.docker('cp', scratch.file('copied'), 'box:/srv/copied');
      expect(engine.docker('exec', 'box', 'cat', '/srv/copied')).toBe('copied');
      // The only view, and none with vfs.
      const views = mountsBelow(engine.home).map((view) => readFileSync(join(view, 'srv/copied'), 'utf8'));
      expect(views).toEqual(driver === 'vfs' ? [] : ['copied\n']);
      expect(engine.docker('diff', 'box')).toContain('A /srv/copied');
      engine.docker('commit', 'box', 'kept:1');
      engine.docker('stop', '-t', '0', 'box');
      expect(mountsBelow(engine.home)).toEqual([]);
      engine.docker('start', 'box');
      await goesOn('box');
      engine.docker('rm', '-f', 'box');
      expect(engine.docker('run', '--rm', '--network=none', 'kept:1', 'cat', '/srv/copied')).toBe('copied');
    });

    // The rest does not depend on how layers are kept.
    if (driver !== driverNames[0]) return;

    it('an engine that is started again finds its containers running', async () => {
      startCounting('box');
      await engine.killDaemon();
      await engine.startDaemon();
      await goesOn('box');
      expect(engine.docker('diff', 'box')).toContain('A /srv/count');
      engine.docker('stop', '-t', '0', 'box');
      engine.docker('start', 'box');
      await goesOn('box');
    });

    it('both can be restarted in an orderly way, and a container that ended is still whole', async () => {
      engine.docker('run', '--name', 'box', '--network=none', 'made:1', 'sh', '-c', 'echo kept > /srv/kept');
      await engine.stopDaemon();
      expect(mountsBelow(engine.home)).toEqual([]);
      await engine.restartPlugin('SIGTERM');
      await engine.startDaemon();
      engine.docker('commit', 'box', 'kept:1');
      expect(engine.docker('run', '--rm', '--network=none', 'kept:1', 'cat', '/srv/kept')).toBe('kept');
    });

    it('a second engine is refused on the same socket, and told why', async () => {
      const second = PluginEngine.daemonOn(scratch.file('second'), engine.name);
      await expect(second).rejects.toThrow(/this socket serves .* it serves one home only/);
      startCounting('box');
      await goesOn('box');
    });
  });

  it('a plugin whose mounts could not reach the engine says so when the engine starts', async () => {
    const started = PluginEngine.start(scratch.file('apart'), {
      driver: 'overlay2',
      under: ['unshare', '--mount', '--propagation', 'private'],
    });
    await expect(started).rejects.toThrow(/mounts made here would not reach the engine \(pid \d+\)/);
  });

  it('a plugin in a mount namespace that shares its mounts with the engine serves it', async () => {
    // Only mounts that are shared can be shared with another namespace; those of the machine may be private.
    const place = scratch.file('shared');
    mkdirSync(place);
    execFileSync('mount', ['--bind', place, place]);
    execFileSync('mount', ['--make-shared', place]);
    const options = { driver: 'overlay2', under: ['unshare', '--mount', '--propagation', 'unchanged'] };
    {
      await using apart = await PluginEngine.start(join(place, 'e'), options);
      apart.docker('load', '-i', image.path);
      expect(apart.docker('run', '--rm', '--network=none', 'made:1', 'cat', '/etc/mark')).toBe('programs');
    }
    execFileSync('umount', [place]);
  });

  it('with a socket unit, an orderly restart spoils no load: it goes on, or says that it has to be repeated', async () => {
    const big = makeDockerArchive(scratch.file('big'), [programs, ...parts], { reference: 'big:1' });
    const directory = scratch.file('drain');
    const under = serviceManager(join(directory, 'p', 'plugin.sock'));
    await using running = await PluginEngine.start(directory, { driver: 'overlay2', under });
    const loading = running.background('load', '-i', big.path);
    const ended = () => 'ended' as const;
    const loaded = loading.then(ended, ended);
    let restarts = 0;
    for (; restarts < 3; restarts += 1) {
      if ((await Promise.race([loaded, delay(100)])) === 'ended') break;
      process.kill(running.plugin.servingPids.at(-1) ?? 0, 'SIGTERM');
      while (running.plugin.log.split('"msg":"serving"').length < restarts + 3) await delay(20);
    }
    await loading.catch(async (error: unknown) => {
      expect(String(error)).toContain('the layer was made before the plugin was restarted');
      await running.background('load', '-i', big.path);
    });
    expect(restarts).toBeGreaterThan(0);
    expect(running.docker('run', '--rm', '--network=none', 'big:1', 'ls', '/srv').split('\n')).toHaveLength(
      parts.length,
    );
  });
});

const parts = [0, 1, 2, 3, 4].map((part) => (directory: string) => {
  mkdirSync(join(directory, 'srv'));
  writeFileSync(join(directory, 'srv', `part-${part}`), randomBytes(8_000_000));
});
