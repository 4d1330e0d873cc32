/** A power cut right after a command has ended loses nothing of it. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { LayerStore } from '@layerstore/store';
import { describe, expect, it } from 'vitest';
import { makeDockerArchive, threeLayers } from '../support/image.js';
import { LoopMount } from '../support/loop.js';
import { isRoot, Scratch } from '../support/scratch.js';

const victim = fileURLToPath(new URL('../crash/victim.mjs', import.meta.url));

describe.skipIf(!isRoot)('a power cut right after a command (needs root and loop devices)', () => {
  it('loses nothing of load, tag, create, commit, rm and rmi on ext4', async () => {
    using scratch = new Scratch('power-cut');
    const image = makeDockerArchive(scratch.file('made'), threeLayers, { compression: 'gzip' });
    using disk = LoopMount.make(scratch.path, 'disk', 'ext4', 256);
    const commands: { argv: string[]; names: string[]; containers: string[] }[] = [
      { argv: ['load', image.path], names: ['test:latest'], containers: [] },
      { argv: ['tag', 'test', 'test:two'], names: ['test:latest', 'test:two'], containers: [] },
      { argv: ['create', 'test', 'box'], names: ['test:latest', 'test:two'], containers: ['box'] },
      { argv: ['commit', 'box', 'test:three'], names: ['test:latest', 'test:three', 'test:two'], containers: ['box'] },
      { argv: ['rm', 'box'], names: ['test:latest', 'test:three', 'test:two'], containers: [] },
      { argv: ['rmi', 'test:three'], names: ['test:latest', 'test:two'], containers: [] },
    ];
    for (const { argv, names, containers } of commands) {
      const done = spawnSync(process.execPath, [victim, `${disk.path}/root`, 'overlay2', '0', ...argv], {
        encoding: 'utf8',
      });
      expect({ argv, status: done.status, stderr: done.stderr }).toEqual({ argv, status: 0, stderr: '' });
      using survived = disk.afterPowerCut(scratch.path, `cut-after-${argv[0] ?? ''}`);
      await using store = await LayerStore.open({ root: `${survived.path}/root`, create: false });
      expect(await store.check({ verify: true })).toMatchObject({ findings: [] });
      expect((await store.images.list()).flatMap((entry) => entry.references).sort()).toEqual(names);
      expect((await store.containers.list()).map((entry) => entry.name)).toEqual(containers);
    }
  });

  it('a full disk gives a clear error and leaves a sound store', async () => {
    using scratch = new Scratch('full-disk');
    const small = makeDockerArchive(scratch.file('small'), threeLayers, { reference: 'small:latest' });
    const large = makeDockerArchive(
      scratch.file('large'),
      [
        ...threeLayers,
        (directory) =>
          void spawnSync('dd', ['if=/dev/urandom', `of=${directory}/fill`, 'bs=1M', 'count=40', 'status=none']),
      ],
      { reference: 'large:latest' },
    );
    using disk = LoopMount.make(scratch.path, 'disk', 'ext4', 32);
    await using store = await LayerStore.open({ root: `${disk.path}/root` });
    await store.images.load({ path: small.path });
    await expect(store.images.load({ path: large.path })).rejects.toMatchObject({ code: 'ERR_NO_SPACE' });
    expect(await store.check({ verify: true })).toMatchObject({ findings: [], leftovers: [] });
    expect((await store.images.list()).flatMap((entry) => entry.references)).toEqual(['small:latest']);
    await store.images.tag('small', 'small:again');
    await store.images.remove('small:again');
  });
});
