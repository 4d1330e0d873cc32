import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Progress } from '@layerstore/core';
import { makeDockerArchive, sha256, threeLayers, type TestImage } from '../../../test/support/image.js';
import { isRoot, mountsBelow, Scratch } from '../../../test/support/scratch.js';
import { openSqlite } from '@layerstore/sqlite';
import { LayerStore } from './layer-store.js';

describe.skipIf(!isRoot).each(['overlay2', 'vfs'])('a store with the driver %s (needs root)', (driver) => {
  let scratch: Scratch;
  let image: TestImage;
  let store: LayerStore;

  beforeEach(async () => {
    scratch = new Scratch('store');
    image = makeDockerArchive(scratch.path, threeLayers, { compression: 'gzip' });
    store = await LayerStore.open({ root: scratch.file('root'), driver });
  });
  afterEach(async () => {
    await store.close();
    expect(mountsBelow(scratch.path)).toEqual([]);
    scratch[Symbol.dispose]();
  });

  const load = () => store.images.load({ path: image.path });
  const sound = async (): Promise<void> => {
    const report = await store.check({ verify: true });
    expect(report.findings).toEqual([]);
    expect(report.leftovers).toEqual([]);
  };

  it('loads an image with the ids that its archive states', async () => {
    const [loaded] = await load();
    expect(loaded?.id).toBe(image.id);
    expect(loaded?.layers.map((layer) => layer.diffId)).toEqual(image.diffIds);
    expect(loaded?.layers.map((layer) => layer.present)).toEqual([false, false, false]);
    expect(await store.images.list()).toMatchObject([
      { id: image.id, references: ['test:latest'], layers: 3, os: 'linux' },
    ]);
    await sound();
  });

  it('unpacks no layer a second time', async () => {
    await load();
    const events: Progress[] = [];
    const [again] = await store.images.load({ path: image.path }, { onProgress: (progress) => events.push(progress) });
    expect(again?.layers.every((layer) => layer.present)).toBe(true);
    expect(events.map((event) => event.kind === 'end' && event.outcome)).toEqual(['present', 'present', 'present']);
  });

  it('shows a container the merged layers, with deletions applied', async () => {
    await load();
    await store.containers.create('test', { name: 'box' });
    await using view = await store.containers.mount('box', { lifetime: 'process' });
    expect(readFileSync(join(view.path, 'etc/hostname'), 'utf8')).toBe('second\n');
    expect(readdirSync(join(view.path, 'etc')).sort()).toEqual(['hostname', 'name', 'passwd']);
    expect(readdirSync(join(view.path, 'usr/share/doc'))).toEqual(['new']);
  });

  it('commits what a container changed, and a new container shows it', async () => {
    await load();
    await store.containers.create('test', { name: 'box' });
    {
      await using view = await store.containers.mount('box', { lifetime: 'process' });
      writeFileSync(join(view.path, 'etc/hostname'), 'third!\n');
      rmSync(join(view.path, 'big'));
      mkdirSync(join(view.path, 'srv'));
      writeFileSync(join(view.path, 'srv/data'), 'data');
    }
    expect(await store.containers.changes('box')).toEqual([
      { kind: 'delete', path: '/big' },
      { kind: 'modify', path: '/etc' },
      { kind: 'modify', path: '/etc/hostname' },
      { kind: 'add', path: '/srv' },
      { kind: 'add', path: '/srv/data' },
    ]);
    const committed = await store.containers.commit('box', 'test:two', { author: 'me', changes: ['CMD ["true"]'] });
    expect(committed.layers).toHaveLength(4);
    await using workspace = await store.workspaces.create('test:two');
    expect(readFileSync(join(workspace.path, 'etc/hostname'), 'utf8')).toBe('third!\n');
    expect(readFileSync(join(workspace.path, 'srv/data'), 'utf8')).toBe('data');
    expect(existsSync(join(workspace.path, 'big'))).toBe(false);
    await sound();
  });

  it.each(['docker-archive', 'oci-archive'] as const)('saves every layer bit for bit as %s', async (format) => {
    await load();
    const path = scratch.file(`saved-${format}.tar`);
    await store.images.save(['test'], { path }, { format });
    await using other = await LayerStore.open({ root: scratch.file('other'), driver });
    const [loaded] = await other.images.load({ path });
    expect(loaded?.id).toBe(image.id);
    expect(loaded?.references).toEqual(['test:latest']);
    expect(loaded?.layers.map((layer) => layer.diffId)).toEqual(image.diffIds);
  });

  it('saves an OCI layout directory that loads again, compressed or not', async () => {
    await load();
    for (const compression of ['none', 'gzip', 'zstd'] as const) {
      const path = scratch.file(`layout-${compression}`);
      await store.images.save(['test'], { path }, { format: 'oci-dir', compression });
      await using other = await LayerStore.open({ root: scratch.file(`other-${compression}`), driver });
      const [loaded] = await other.images.load({ path });
      expect(loaded?.id).toBe(image.id);
    }
  });

  it('exports a view as a tar that GNU tar reads', async () => {
    await load();
    await store.containers.create('test', { name: 'box' });
    const path = scratch.file('box.tar');
    await store.containers.export('box', { path });
    const names = execFileSync('tar', ['-tf', path], { encoding: 'utf8' }).split('\n');
    expect(names).toContain('etc/hostname');
    expect(names).not.toContain('etc/passwd-');
  });

  it('imports a root file system as an image', async () => {
    const tree = scratch.file('tree');
    mkdirSync(join(tree, 'bin'), { recursive: true });
    writeFileSync(join(tree, 'bin/program'), '#!/bin/sh\n', { mode: 0o755 });
    execFileSync('tar', ['-C', tree, '-czf', scratch.file('tree.tgz'), '.']);
    const imported = await store.images.import({ path: scratch.file('tree.tgz') }, 'imported:1', {
      changes: ['CMD ["/bin/program"]'],
    });
    expect((await store.images.inspect('imported:1')).config).toMatchObject({ config: { Cmd: ['/bin/program'] } });
    expect(imported.layers[0]?.diffId).toBe(
      `sha256:${sha256(execFileSync('gzip', ['-dc', scratch.file('tree.tgz')]))}`,
    );
    await sound();
  });

  it('keeps an image until its last name is removed, and layers until nothing needs them', async () => {
    await load();
    await store.images.tag('test', 'other:name');
    await store.containers.create('test', { name: 'box' });
    expect((await store.images.remove('test')).deleted).toEqual([]);
    await expect(store.images.remove('other:name')).rejects.toMatchObject({ code: 'ERR_BUSY' });
    await store.containers.remove('box');
    expect((await store.images.remove('other:name')).deleted).toHaveLength(4);
    expect(readdirSync(scratch.file('root/blobs/sha256'))).toEqual([]);
    expect(readdirSync(scratch.file('root/blobs/tar-split'))).toEqual([]);
    expect((await store.info()).layers).toBe(0);
    await sound();
  });

  it('refuses to remove a mounted container, and removes it by force', async () => {
    await load();
    await store.containers.create('test', { name: 'box' });
    await store.containers.mount('box');
    await expect(store.containers.remove('box')).rejects.toMatchObject({ code: 'ERR_BUSY' });
    await store.containers.remove('box', { force: true });
    expect(await store.containers.list()).toEqual([]);
    await sound();
  });

  it('counts holds: the view stays until the last one is given up', async () => {
    await load();
    await store.containers.create('test', { name: 'box' });
    const first = await store.containers.mount('box');
    const second = await store.containers.mount('box');
    expect(second.path).toBe(first.path);
    await store.containers.unmount('box');
    expect((await store.containers.inspect('box')).references).toBe(1);
    expect(readFileSync(join(first.path, 'etc/hostname'), 'utf8')).toBe('second\n');
    await store.containers.unmount('box');
    await store.containers.unmount('box');
    expect((await store.containers.inspect('box')).references).toBe(0);
  });

  it('forks a workspace into an independent one', async () => {
    await load();
    await using first = await store.workspaces.create('test');
    writeFileSync(join(first.path, 'note'), 'before');
    rmSync(join(first.path, 'big'));
    await using second = await first.fork();
    writeFileSync(join(first.path, 'note'), 'after!');
    expect(readFileSync(join(second.path, 'note'), 'utf8')).toBe('before');
    expect(existsSync(join(second.path, 'big'))).toBe(false);
    expect(await second.changes()).toEqual([
      { kind: 'delete', path: '/big' },
      { kind: 'add', path: '/note' },
    ]);
  });

  it('discards a workspace at the end of its block, unless it is kept', async () => {
    await load();
    {
      await using kept = await store.workspaces.create('test', { name: 'kept' });
      await using _dropped = await store.workspaces.create('test', { name: 'dropped' });
      await kept.keep();
    }
    expect((await store.workspaces.list()).map((workspace) => workspace.name)).toEqual(['kept']);
    await (await store.workspaces.open('kept')).discard();
    await sound();
  });

  it('leaves nothing behind when a load is cancelled', async () => {
    const stop = new AbortController();
    const loading = store.images.load({ path: image.path }, { signal: stop.signal, onProgress: () => stop.abort() });
    await expect(loading).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    expect(await store.images.list()).toEqual([]);
    await sound();
  });

  it('stops saving on request, however many layers are being compressed', async () => {
    await load();
    for (let started = 1; started <= threeLayers.length; started += 1) {
      const stop = new AbortController();
      let seen = 0;
      const onProgress = (): void => {
        seen += 1;
        if (seen === started) stop.abort();
      };
      const to = { path: scratch.file('saved.tar') };
      const options = { format: 'oci-archive', compression: 'gzip', signal: stop.signal, onProgress } as const;
      await expect(store.images.save(['test'], to, options)).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    }
    expect(readdirSync(scratch.path)).not.toContain('saved.tar');
    await sound();
  });

  it('refuses a layer whose content is not what the config names, and leaves nothing behind', async () => {
    const bytes = readFileSync(image.path);
    const config = bytes.indexOf(image.diffIds[1] ?? '');
    bytes.write('0000', config + 'sha256:'.length, 'latin1');
    writeFileSync(scratch.file('forged.tar'), bytes);
    await expect(store.images.load({ path: scratch.file('forged.tar') })).rejects.toMatchObject({
      code: expect.stringMatching(/ERR_DIGEST_MISMATCH|ERR_MALFORMED_IMAGE/) as string,
    });
    await sound();
  });

  it('lets a damaged image hide only itself', async () => {
    await load();
    const tree = scratch.file('other-tree');
    mkdirSync(tree);
    writeFileSync(join(tree, 'file'), 'content');
    execFileSync('tar', ['-C', tree, '-cf', scratch.file('other.tar'), '.']);
    const good = await store.images.import({ path: scratch.file('other.tar') }, 'good:1');
    renameSync(scratch.file('root/blobs/sha256', image.id.slice('sha256:'.length)), scratch.file('moved-away'));
    expect((await store.images.list()).map((entry) => entry.id).sort()).toEqual([good.id, image.id].sort());
    await expect(store.images.inspect('test')).rejects.toMatchObject({ code: 'ERR_STORE_DAMAGED' });
    expect((await store.images.inspect('good:1')).id).toBe(good.id);
    const report = await store.check();
    expect(report.findings).toMatchObject([{ kind: 'image', subject: image.id }]);
    await store.images.remove('test');
    await sound();
  });

  it('lets a damaged record hide only itself', async () => {
    await load();
    await store.containers.create('test', { name: 'good' });
    await store.containers.create('test', { name: 'bad' });
    const database = openSqlite(scratch.file('root/meta.db'));
    database.exec(`PRAGMA foreign_keys = OFF; UPDATE containers SET image = 'nonsense' WHERE name = 'bad'`);
    database.exec(
      `INSERT INTO images SELECT 'nonsense', chain_id, NULL, NULL, 0, 0, 'linux', 'amd64', NULL, 0, 0 FROM images`,
    );
    database.close();
    expect((await store.images.list()).map((entry) => [entry.id, entry.damaged !== undefined])).toEqual([
      [image.id, false],
      ['nonsense', true],
    ]);
    expect((await store.containers.list()).map((entry) => [entry.name, entry.damaged !== undefined])).toEqual([
      ['good', false],
      ['bad', true],
    ]);
    expect((await store.containers.inspect('good')).name).toBe('good');
    expect((await store.check()).findings.map((finding) => finding.kind).sort()).toEqual(['container', 'image']);
  });

  it('finds a changed file by verifying', async () => {
    await load();
    const details = await store.images.inspect('test');
    const top = details.layerList.find((layer) => layer.diffId === image.diffIds[1]);
    const home = scratch.file(
      'root/home',
      driver === 'vfs' ? 'dir' : '',
      String(top?.cacheId),
      driver === 'vfs' ? '' : 'diff',
    );
    writeFileSync(join(home, 'etc/hostname'), 'broken\n');
    expect((await store.check()).sound).toBe(true);
    expect((await store.check({ verify: true })).findings).toMatchObject([{ kind: 'layer', subject: top?.chainId }]);
    await expect(
      store.images.save(['test'], { path: scratch.file('x.tar') }, { format: 'docker-archive' }),
    ).rejects.toMatchObject({
      code: 'ERR_STORE_DAMAGED',
    });
    expect(existsSync(scratch.file('x.tar'))).toBe(false);
  });

  it('refuses another driver and a directory with other content', async () => {
    const wrong = LayerStore.open({ root: scratch.file('root'), driver: driver === 'vfs' ? 'overlay2' : 'vfs' });
    await expect(wrong).rejects.toMatchObject({ code: 'ERR_DRIVER_MISMATCH' });
    mkdirSync(scratch.file('foreign'));
    writeFileSync(scratch.file('foreign/important'), '');
    await expect(LayerStore.open({ root: scratch.file('foreign') })).rejects.toMatchObject({ code: 'ERR_NOT_A_STORE' });
    await expect(LayerStore.open({ root: scratch.file('absent'), create: false })).rejects.toMatchObject({
      code: 'ERR_NOT_A_STORE',
    });
    expect(existsSync(scratch.file('absent'))).toBe(false);
  });

  it('keeps compressed layers when asked, and saves them as they came', async () => {
    await store.images.load({ path: image.path }, { keepBlobs: true });
    const path = scratch.file('layout');
    await store.images.save(['test'], { path }, { format: 'oci-dir', compression: 'gzip' });
    for (const name of readdirSync(scratch.file('root/blobs/sha256'))) {
      if (`sha256:${name}` !== image.id) expect(existsSync(join(path, 'blobs/sha256', name))).toBe(true);
    }
    await sound();
  });
});
