/** A power cut right after containerd has unpacked an image, or prepared a container, loses nothing of it. */
import { join } from 'node:path';
import { openSqliteFile } from '../support/sqlite.js';
import { LayerStore } from '@layerstore/store';
import { describe, expect, it } from 'vitest';
import { Containerd, containerdPrograms, SnapshotServer, treeFacts } from '../support/containerd.js';
import { makeDockerArchive, threeLayers } from '../support/image.js';
import { LoopMount } from '../support/loop.js';
import { hasProgram, isRoot, Scratch } from '../support/scratch.js';

const available = isRoot && containerdPrograms.every(hasProgram);

describe.skipIf(!available)(
  `a power cut under containerd (needs root, loop devices, ${containerdPrograms.join(', ')})`,
  () => {
    it('loses nothing of an unpacked image on ext4, and active snapshots are whole', async () => {
      using scratch = new Scratch('cut-containerd', '/dev/shm');
      const image = makeDockerArchive(scratch.file('made'), threeLayers, {
        reference: 'docker.io/library/cut:1',
        compression: 'gzip',
      });
      using disk = LoopMount.make(scratch.path, 'disk', 'ext4', 256);
      await using server = await new SnapshotServer(scratch, [], 'ls', join(disk.path, 'root')).start();
      await using containerd = await new Containerd(scratch, { snapshotters: { layerstore: server.socket } }).start();
      containerd.ctr('images', 'import', '--snapshotter', 'layerstore', image.path);
      const listed = containerd.ctr('snapshots', '--snapshotter', 'layerstore', 'ls').trim().split('\n').slice(1);
      const parents = new Set(listed.map((line) => line.split(/\s+/)[1]));
      const top = listed.map((line) => line.split(/\s+/)[0]!).find((name) => !parents.has(name))!;
      containerd.ctr('snapshots', '--snapshotter', 'layerstore', 'prepare', 'box', top);
      using survived = disk.afterPowerCut(scratch.path, 'cut');
      const root = join(survived.path, 'root');
      // What a copy of the disk does not show: the machine has started anew.
      openSqliteFile(join(root, 'meta.db'), (database) =>
        database.exec(`UPDATE snapshots SET boot_id = 'before the power cut'`),
      );
      await using store = await LayerStore.open({ root, create: false });
      expect((await store.snapshots.recover()).restored).toBe(1);
      expect(await store.check()).toMatchObject({ findings: [], leftovers: [] });
      const snapshots = await store.snapshots.list();
      expect(snapshots.map(({ kind }) => kind)).toEqual(['committed', 'committed', 'committed', 'active']);
      for (const { cacheId } of snapshots) {
        const facts = [root, server.root].map((path) => treeFacts(join(path, 'home', cacheId!, 'diff')));
        expect(facts[0]).toEqual(facts[1]);
      }
      expect(treeFacts(join(root, 'home', snapshots[0]!.cacheId!, 'diff')).length).toBeGreaterThan(5);
      const { plan } = await store.snapshots.mounts(snapshots[3]!.owner, snapshots[3]!.key);
      expect(plan).toMatchObject({ kind: 'overlay', lowers: expect.objectContaining({ length: 3 }) as string[] });
    }, 120_000);
  },
);
