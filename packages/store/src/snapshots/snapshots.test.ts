import { chmodSync, existsSync, lstatSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { chainIds, parseDigest, StoreError } from '@layerstore/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeDockerArchive, threeLayers } from '../../../../test/support/image.js';
import { isRoot, Scratch } from '../../../../test/support/scratch.js';
import { openSqlite } from '@layerstore/sqlite';
import { LayerStore } from '../layer-store.js';
import type { MountPlan } from '@layerstore/linux';

const owner = 'test/one';

describe.skipIf(!isRoot).each(['overlay2', 'vfs'])('snapshots on %s (needs root)', (driver) => {
  let scratch: Scratch;
  let store: LayerStore;
  const open = (): Promise<LayerStore> =>
    LayerStore.open({ root: scratch.file('root'), driver, records: 'remembered' });

  beforeEach(async () => {
    scratch = new Scratch('snapshots', '/dev/shm');
    store = await open();
  });
  afterEach(async () => {
    await store.close();
    scratch[Symbol.dispose]();
  });

  const prepare = (key: string, parent?: string) =>
    store.snapshots.prepare({ owner, key, ...(parent === undefined ? {} : { parent }) });
  const commit = (key: string, name: string) => store.snapshots.commit({ owner, key, name });
  /** Where programs write, without a mount. */
  const writable = (plan: MountPlan): string =>
    plan.kind === 'directory'
      ? plan.path
      : plan.kind === 'overlay'
        ? plan.upper!.path
        : plan.kind === 'bind'
          ? plan.source
          : '';
  const base = async (name: string): Promise<void> => {
    const { plan } = await prepare(`${name}-work`);
    writeFileSync(join(writable(plan), `of-${name}`), name);
    await commit(`${name}-work`, name);
  };

  it('lets exactly one of many callers make a key, or commit to a name', async () => {
    const made = await Promise.allSettled(Array.from({ length: 8 }, () => prepare('same')));
    expect(made.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const result of made)
      if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'ERR_EXISTS' });
    await Promise.all(Array.from({ length: 8 }, (_, index) => prepare(`key-${index}`)));
    const committed = await Promise.allSettled(Array.from({ length: 8 }, (_, index) => commit(`key-${index}`, 'name')));
    expect(committed.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    await store.snapshots.cleanup();
    expect(await store.check()).toMatchObject({ findings: [] });
    // Those that lost are usable still.
    await Promise.all(
      committed.flatMap(({ status }, index) =>
        status === 'rejected' ? [commit(`key-${index}`, `other-${index}`)] : [],
      ),
    );
  });

  it('takes keys as they are, whatever they hold', async () => {
    const keys = [
      'a/../../b',
      'with blank',
      'ünï',
      'a%00',
      'nul\0inside',
      'nul',
      '.',
      'l',
      `long${'x'.repeat(5000)}`,
      'new\nline',
    ];
    for (const key of keys) await prepare(key);
    expect((await store.snapshots.list({ owner })).map(({ key }) => key)).toEqual(keys);
    for (const key of keys) expect((await store.snapshots.stat(owner, key)).key).toBe(key);
    await expect(prepare('nul\0inside')).rejects.toMatchObject({ code: 'ERR_EXISTS' });
    await expect(prepare('')).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
  });

  it('keeps owners apart', async () => {
    await base('layer');
    await store.snapshots.prepare({ owner: 'test/two', key: 'layer' });
    expect((await store.snapshots.list({ owner: 'test/two' })).map(({ key }) => key)).toEqual(['layer']);
    const across = store.snapshots.prepare({ owner: 'test/two', key: 'child', parent: 'of-layer' });
    await expect(across).rejects.toMatchObject({ code: 'ERR_SNAPSHOT_NOT_FOUND' });
    await store.snapshots.remove('test/two', 'layer');
    expect(await store.snapshots.list({ owner })).toHaveLength(1);
  });

  it('frees a key at once, deletes the directory afterwards, and never gives an id twice', async () => {
    const { snapshot } = await prepare('key');
    await store.snapshots.remove(owner, 'key');
    const again = await prepare('key');
    expect(again.snapshot.id).toBeGreaterThan(snapshot.id);
    expect(again.snapshot.cacheId).not.toBe(snapshot.cacheId);
    expect(await store.snapshots.deletionsDue()).toBe(1);
    await store.snapshots.cleanup();
    expect(await store.snapshots.deletionsDue()).toBe(0);
    expect(await store.check()).toMatchObject({ findings: [] });
  });

  it('refuses what a kind does not allow, and leaves everything as it was', async () => {
    await base('layer');
    await prepare('active', 'layer');
    await store.snapshots.view({ owner, key: 'view', parent: 'layer' });
    await expect(prepare('x', 'active')).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    await expect(prepare('x', 'nothing')).rejects.toMatchObject({ code: 'ERR_SNAPSHOT_NOT_FOUND' });
    await expect(commit('view', 'x')).rejects.toMatchObject({ code: 'ERR_WRONG_KIND' });
    await expect(commit('layer', 'x')).rejects.toMatchObject({ code: 'ERR_WRONG_KIND' });
    await expect(commit('active', 'layer')).rejects.toMatchObject({ code: 'ERR_EXISTS' });
    await expect(store.snapshots.mounts(owner, 'layer')).rejects.toMatchObject({ code: 'ERR_WRONG_KIND' });
    await expect(store.snapshots.remove(owner, 'layer')).rejects.toThrow(/cannot remove.*children/);
    await expect(store.snapshots.remove(owner, 'nothing')).rejects.toMatchObject({ code: 'ERR_SNAPSHOT_NOT_FOUND' });
    expect((await store.snapshots.list({ owner })).map(({ key, kind }) => `${kind} ${key}`)).toEqual([
      'committed layer',
      'active active',
      'view view',
    ]);
  });

  it('gives the same mounts after the store was opened anew', async () => {
    await base('layer');
    const made = await prepare('active', 'layer');
    const viewed = await store.snapshots.view({ owner, key: 'view', parent: 'layer' });
    await store.close();
    store = await open();
    expect((await store.snapshots.mounts(owner, 'active')).plan).toEqual(made.plan);
    expect((await store.snapshots.mounts(owner, 'view')).plan).toEqual(viewed.plan);
  });

  it('makes roots of 0755 whatever the umask, owned as the parent is or as the caller says', async () => {
    const before = process.umask(0o077);
    try {
      const { plan } = await prepare('work');
      expect(statSync(writable(plan)).mode & 0o7777).toBe(0o755);
      const root = writable(plan);
      chmodSync(root, 0o755);
      await commit('work', 'layer');
      const child = await store.snapshots.prepare({
        owner,
        key: 'child',
        parent: 'layer',
        layer: { rootOwner: ({ uid }) => ({ uid: uid + 1000, gid: 77 }) },
      });
      if (driver === 'overlay2') expect(lstatSync(writable(child.plan))).toMatchObject({ uid: 1000, gid: 77 });
      expect(statSync(writable(child.plan)).mode & 0o7777).toBe(0o755);
    } finally {
      process.umask(before);
    }
  });

  it('refuses a limit that the file system cannot keep, and leaves nothing of the snapshot', async () => {
    const layer = { storageOptions: { size: '1G' } };
    await expect(store.snapshots.prepare({ owner, key: 'limited', layer })).rejects.toMatchObject({
      code: 'ERR_NOT_SUPPORTED',
      message: expect.stringContaining('cannot keep the limit') as string,
    });
    await expect(store.snapshots.stat(owner, 'limited')).rejects.toMatchObject({ code: 'ERR_SNAPSHOT_NOT_FOUND' });
    await prepare('limited');
  });

  it('leaves nothing in staging when it is closed', async () => {
    await prepare('one');
    await Promise.all(['two', 'three'].map((key) => prepare(key)));
    await store.close();
    expect(readdirSync(scratch.file('root', 'home', '.layerstore', 'staging'))).toEqual([]);
    store = await open();
    expect((await store.snapshots.list({ owner })).map(({ key }) => key).sort()).toEqual(['one', 'three', 'two']);
  });

  it('changes labels in order, drops empty ones, and replaces them on commit', async () => {
    await store.snapshots.prepare({ owner, key: 'key', labels: { a: '1', 'b.c': '2', empty: '' } });
    expect((await store.snapshots.stat(owner, 'key')).labels).toEqual({ a: '1', 'b.c': '2' });
    const updated = await store.snapshots.update(owner, 'key', [
      { kind: 'set', name: 'b.c', value: '' },
      { kind: 'set', name: 'd', value: '\0"é' },
    ]);
    expect(updated.labels).toEqual({ a: '1', d: '\0"é' });
    expect(updated.updated).not.toEqual(updated.created);
    await store.snapshots.commit({ owner, key: 'key', name: 'name', labels: { only: 'this' } });
    const committed = await store.snapshots.stat(owner, 'name');
    expect(committed.labels).toEqual({ only: 'this' });
    expect(committed.created).toEqual(committed.updated);
  });

  it('measures a snapshot without its parents, a committed one once', async () => {
    await base('layer');
    const { plan } = await prepare('active', 'layer');
    const before = await store.snapshots.usage(owner, 'active');
    writeFileSync(join(writable(plan), 'file'), Buffer.alloc(100_000, 1));
    const after = await store.snapshots.usage(owner, 'active');
    expect(after.inodes).toBe(before.inodes + 1);
    expect(after.size - before.size).toBeGreaterThanOrEqual(100_000);
    await commit('active', 'measured');
    expect(await store.snapshots.usage(owner, 'measured')).toEqual(after);
    const view = await store.snapshots.view({ owner, key: 'view', parent: 'measured' });
    expect(view.plan.kind === 'directory').toBe(false);
    expect(await store.snapshots.usage(owner, 'view')).toEqual({ size: 0, inodes: 0 });
  });

  it('stands on layers that the store has, keeps them while it does, and takes no room', async () => {
    const image = makeDockerArchive(scratch.file('made'), threeLayers, { reference: 'adopted:1' });
    await store.images.load({ path: image.path });
    const chain = chainIds(image.diffIds.map((id) => parseDigest(id)));
    const adopt = (chainId: (typeof chain)[number], parent?: string) =>
      store.snapshots.adopt({
        owner,
        chainId,
        claimedChainId: () => undefined,
        ...(parent === undefined ? {} : { parent }),
      });
    expect(await adopt(chain[1]!)).toBe(false);
    expect(await adopt(chain[0]!)).toBe(true);
    expect(await adopt(chain[0]!)).toBe(true);
    const [bottom] = await store.snapshots.list({ owner });
    expect(bottom).toMatchObject({ kind: 'committed', chainId: chain[0] });
    expect(await adopt(chain[2]!, bottom!.key)).toBe(false);
    expect(await adopt(chain[1]!, bottom!.key)).toBe(true);
    expect(await store.snapshots.list({ owner })).toHaveLength(2);
    const middle = (await store.snapshots.list({ owner })).at(-1)!;
    const { plan } = await prepare('above', middle.key);
    writeFileSync(join(writable(plan), 'new'), '');
    await store.images.remove('adopted:1');
    await store.prune({ all: true });
    expect((await store.info()).layers).toBe(2);
    expect((await store.diskUsage()).layers).toMatchObject({ count: 2, active: 2, reclaimable: 0 });
    for (const key of ['above', middle.key, bottom!.key]) await store.snapshots.remove(owner, key);
    await store.snapshots.cleanup();
    await store.prune();
    expect(await store.info()).toMatchObject({ layers: 0, snapshots: 0 });
  });

  it('tells what nobody has mounted, once it is old enough', async () => {
    await base('layer');
    await prepare('active', 'layer');
    expect(await store.snapshots.orphans()).toEqual([]);
    expect((await store.snapshots.orphans({ olderThanMs: -2000 })).map(({ key }) => key)).toEqual(['active']);
  });

  it('leaves directories of removed snapshots to the next opener when it is closed at once', async () => {
    await prepare('gone');
    await store.snapshots.remove(owner, 'gone');
    await store.close();
    store = await open();
    expect((await store.snapshots.recover()).collected).toBeGreaterThan(0);
    expect(await store.check()).toMatchObject({ findings: [], leftovers: [] });
  });

  it('makes whole again what a power cut took of active snapshots, and tells of commits that it may have torn', async () => {
    await base('layer');
    await prepare('active', 'layer');
    await prepare('bottom');
    await prepare('torn');
    await store.snapshots.commit({ owner, key: 'torn', name: 'torn-committed', durability: 'unsynced' });
    const { cacheId } = await store.snapshots.stat(owner, 'active');
    const { cacheId: lost } = await store.snapshots.stat(owner, 'bottom');
    await store.close();
    const connection = openSqlite(scratch.file('root', 'meta.db'));
    connection.exec(
      `UPDATE snapshots SET boot_id = 'another', synced = CASE key WHEN 'torn-committed' THEN 0 ELSE synced END`,
    );
    connection.close();
    const home = scratch.file('root', 'home');
    if (driver === 'overlay2') {
      truncateSync(join(home, cacheId!, 'lower'));
      truncateSync(join(home, cacheId!, 'link'));
      rmSync(join(home, lost!), { recursive: true });
      for (const link of readdirSync(join(home, 'l')))
        if (!existsSync(join(home, 'l', link))) rmSync(join(home, 'l', link));
    } else {
      rmSync(join(home, 'dir', lost!), { recursive: true });
    }
    store = await open();
    expect((await store.snapshots.recover()).restored).toBeGreaterThanOrEqual(2);
    const { plan } = await store.snapshots.mounts(owner, 'active');
    expect(existsSync(join(plan.kind === 'overlay' ? plan.lowers[0]! : writable(plan), 'of-layer'))).toBe(true);
    expect(existsSync(writable((await store.snapshots.mounts(owner, 'bottom')).plan))).toBe(true);
    const { findings } = await store.check();
    expect(findings).toEqual([expect.objectContaining({ kind: 'snapshot', subject: `${owner} "torn-committed"` })]);
  });

  it('makes a directory whole again also where the labels of the snapshot have become nonsense', async () => {
    await store.snapshots.prepare({ owner, key: 'active', labels: { nonsense: 'yes' } });
    const { cacheId } = await store.snapshots.stat(owner, 'active');
    await store.close();
    const connection = openSqlite(scratch.file('root', 'meta.db'));
    connection.exec(`UPDATE snapshots SET boot_id = 'another'`);
    connection.close();
    const home = scratch.file('root', 'home');
    rmSync(driver === 'overlay2' ? join(home, cacheId!) : join(home, 'dir', cacheId!), { recursive: true });
    store = await open();
    const recovery = await store.snapshots.recover((labels) => {
      throw new StoreError('ERR_INVALID_ARGUMENT', `nonsense: ${labels['nonsense']}`);
    });
    expect(recovery.restored).toBe(1);
    expect(existsSync(writable((await store.snapshots.mounts(owner, 'active')).plan))).toBe(true);
  });

  it('opens a root of the time before snapshots, and keeps a copy of its database', async () => {
    const image = makeDockerArchive(scratch.file('made'), threeLayers, { reference: 'old:1' });
    await store.images.load({ path: image.path });
    await store.close();
    const connection = openSqlite(scratch.file('root', 'meta.db'));
    connection.exec('DROP TABLE snapshots; PRAGMA user_version = 1');
    connection.close();
    store = await open();
    expect((await store.images.list()).map(({ references }) => references)).toEqual([['old:1']]);
    await base('layer');
    expect(await store.check()).toMatchObject({ findings: [] });
    expect(existsSync(scratch.file('root', 'meta.db.v1'))).toBe(true);
  });
});
