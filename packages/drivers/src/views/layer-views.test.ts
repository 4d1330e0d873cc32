import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseLayerId, StoreError, type LayerId } from '@layerstore/core';
import {
  MNT_DETACH,
  MS_BIND,
  Mounter,
  mountsBelow,
  nativeSyscalls,
  readMountTable,
  removeTree,
} from '@layerstore/linux';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { GraphDriver, PlanOptions } from '../driver.js';
import { openDriver } from '../registry.js';
import { LayerViews } from './layer-views.js';

const [base, box, other] = ['base', 'box', 'other'].map(parseLayerId) as [LayerId, LayerId, LayerId];

describe.skipIf(process.geteuid?.() !== 0)('the views of overlay2 layers (needs root)', () => {
  let directory: string;
  let driver: GraphDriver;
  let views: LayerViews;
  /** `open box`, `close box`, ...: what the driver was told. */
  let told: string[];
  let failing: 'openView' | 'closeView' | undefined;
  const mounter = new Mounter();
  const processes: ChildProcess[] = [];

  beforeEach(async () => {
    directory = realpathSync(mkdtempSync('/dev/shm/layer-views-'));
    told = [];
    failing = undefined;
    driver = listenedTo(await openDriver('overlay2', join(directory, 'home'), { mounter }));
    views = new LayerViews(driver, mounter);
    await driver.create(base);
    for (const id of [box, other]) await driver.createReadWrite(id, { parent: base });
  });
  afterEach(async () => {
    for (const child of processes.splice(0)) await end(child);
    for (const { mountPoint } of mountsBelow(readMountTable(), directory).reverse()) {
      nativeSyscalls().umount(mountPoint, MNT_DETACH);
    }
    removeTree(directory);
  });

  /** The driver itself, noting what is asked of it, and failing when told to. */
  function listenedTo(inner: GraphDriver): GraphDriver {
    const refuse = (method: typeof failing): void => {
      if (failing === method) throw new StoreError('ERR_NO_SPACE', `${method} has no room`);
    };
    return new Proxy(inner, {
      get(target, key) {
        if (key === 'openView')
          return async (id: LayerId, options: PlanOptions) => {
            told.push(`open ${id}`);
            refuse('openView');
            return target.openView(id, options);
          };
        if (key === 'closeView')
          return async (id: LayerId) => {
            told.push(`close ${id}`);
            refuse('closeView');
            await target.closeView(id);
          };
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
  }

  const start = async (program: string, args: readonly string[], cwd: string): Promise<ChildProcess> => {
    const child = spawn(program, args, { cwd, stdio: ['pipe', 'pipe', 'inherit'] });
    processes.push(child);
    await once(child.stdout, 'data');
    return child;
  };
  const end = async (child: ChildProcess): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'close');
    child.stdin?.end();
    await ended;
  };
  const mounts = (): string[] => mountsBelow(readMountTable(), directory).map(({ mountPoint }) => mountPoint);

  test('are opened before each mount and closed once, after the last unmount', async () => {
    await views.get(box);
    await views.get(box);
    await views.put(box);
    expect(told).toEqual(['open box', 'open box']);
    await views.put(box);
    await views.put(box);
    expect(told).toEqual(['open box', 'open box', 'close box']);
  });

  test('that cannot be mounted are closed again, and the error is the first one', async () => {
    mkdirSync(driver.mountPoint(box));
    nativeSyscalls().mount('tmpfs', driver.mountPoint(box), 'tmpfs', 0, '');
    const occupied = views.get(box);
    await expect(occupied).rejects.toMatchObject({
      code: 'ERR_BUSY',
      message: expect.stringContaining('tmpfs') as string,
    });
    nativeSyscalls().umount(driver.mountPoint(box), 0);
    failing = 'openView';
    told.length = 0;
    await expect(views.get(box)).rejects.toMatchObject({ code: 'ERR_NO_SPACE' });
    expect(told).toEqual(['open box', 'close box']);
    failing = undefined;
    await views.get(box);
    await views.put(box);
    expect(mounts()).toEqual([]);
  });

  test('that fail to close after a failure tell both', async () => {
    removeTree(join(driver.home, base, 'diff'));
    failing = 'closeView';
    await expect(views.get(box)).rejects.toThrow(/besides, the view was not closed: closeView has no room/);
  });

  test('that others use are not closed when one more cannot have them', async () => {
    const view = await views.get(box);
    told.length = 0;
    await expect(views.get(box, { readOnly: true })).rejects.toMatchObject({ code: 'ERR_BUSY' });
    failing = 'openView';
    await expect(views.get(box)).rejects.toMatchObject({ code: 'ERR_NO_SPACE' });
    failing = undefined;
    expect(told).toEqual(['open box', 'open box']);
    writeFileSync(join(view, 'still writable'), '');
    await views.put(box);
    expect(mounts()).toEqual([]);
    expect(told.at(-1)).toBe('close box');
  });

  test('that are busy stay mounted and counted, and go when they are let go of again', async () => {
    const view = await views.get(box);
    const user = await start('sh', ['-c', 'echo; read line'], view);
    await expect(views.put(box)).rejects.toMatchObject({
      code: 'ERR_BUSY',
      message: expect.stringContaining(`pid ${user.pid}`) as string,
    });
    expect(told).toEqual(['open box']);
    expect(mounts()).toEqual([view]);
    await end(user);
    await views.put(box);
    expect(mounts()).toEqual([]);
  });

  test('of a process that is gone count one user, as in dockerd', async () => {
    const before = new LayerViews(driver, mounter);
    const view = await before.get(box);
    await views.get(box);
    await views.put(box);
    expect(mounts()).toEqual([view]);
    await views.put(box);
    expect(mounts()).toEqual([]);
    // The same without a get: an engine lets go after its restart of what it had before.
    await before.get(other);
    await views.put(other);
    expect(mounts()).toEqual([]);
  });

  test('that somebody unmounted are mounted again for the next user', async () => {
    const view = await views.get(box);
    writeFileSync(join(view, 'written'), '');
    nativeSyscalls().umount(view, MNT_DETACH);
    expect(await views.get(box)).toBe(view);
    expect(readdirSync(view)).toEqual(['written']);
    await views.put(box);
    expect(mounts()).toEqual([view]);
    await views.put(box);
    expect(mounts()).toEqual([]);
  });

  test('that lie on one another are one again after the next get', async () => {
    const view = await views.get(box);
    for (let again = 0; again < 3; again++) nativeSyscalls().mount(view, view, '', MS_BIND, '');
    expect(mounts()).toHaveLength(4);
    await views.get(box);
    expect(mounts()).toEqual([view]);
    await views.put(box);
    await views.put(box);
    expect(mounts()).toEqual([]);
  });

  test('are removed with their layer, unless somebody works in them', async () => {
    const view = await views.get(box);
    await views.get(box);
    const user = await start('sh', ['-c', 'echo; read line'], view);
    await expect(views.remove(box)).rejects.toMatchObject({ code: 'ERR_BUSY' });
    expect(await driver.exists(box)).toBe(true);
    await end(user);
    await views.remove(box);
    expect(await driver.exists(box)).toBe(false);
    expect(mounts()).toEqual([]);
  });

  test('are all gone after a cleanup: used, unknown, stray, full of other mounts, copied to other namespaces', async () => {
    const busy = await views.get(box);
    mkdirSync(join(busy, 'inner'));
    nativeSyscalls().mount('tmpfs', join(busy, 'inner'), 'tmpfs', 0, '');
    const user = await start('sh', ['-c', 'exec 3> held; echo; read line; echo kept >&3; echo'], busy);
    await new LayerViews(driver, mounter).get(other);
    const stray = join(driver.home, 'not a layer', 'place');
    mkdirSync(join(stray, 'deep'), { recursive: true });
    nativeSyscalls().mount('tmpfs', stray, 'tmpfs', 0, '');
    const outside = await start(
      'unshare',
      ['--mount', '--propagation', 'private', 'sh', '-c', 'echo; read line'],
      directory,
    );
    told.length = 0;
    await views.cleanup();
    expect(mounts()).toEqual([]);
    expect(mountsBelow(readMountTable(`/proc/${outside.pid}/mountinfo`), driver.home).filter(isView)).toEqual([]);
    expect(told.sort()).toEqual(['close box', 'close other']);
    expect((await driver.list()).sort()).toEqual([base, box, other]);
    // Whoever had a file open goes on, and what he writes is in the layer.
    user.stdin?.write('\n');
    await once(user.stdout!, 'data');
    expect(readdirSync(join(driver.home, box, 'diff')).sort()).toEqual(['held', 'inner']);
    expect(existsSync(driver.mountPoint(box))).toBe(false);
    await views.cleanup();
  });

  test('are all tried by a cleanup, and every failure is told', async () => {
    await views.get(box);
    await views.get(other);
    failing = 'closeView';
    await expect(views.cleanup()).rejects.toThrow(/closeView has no room; .*closeView has no room/);
    expect(mounts()).toEqual([]);
  });

  /** The stray's directory holds something, so it stays, and with it the copies of its mount that others have. */
  function isView({ mountPoint }: { readonly mountPoint: string }): boolean {
    return !mountPoint.includes('/not a layer/');
  }
});
