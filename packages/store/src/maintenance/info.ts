import { readMountTable } from '@layerstore/linux';
import type { StoreContext } from '../context.js';
import type { StoreInfo } from '../model.js';
import { version } from '../version.js';

/** Facts about the store and its driver. */
export async function storeInfo(context: StoreContext): Promise<StoreInfo> {
  const { database, paths } = context;
  const driver = await context.driver();
  const count = (sql: string): number => Number(database.prepare(`SELECT count(*) AS n FROM ${sql}`).get()?.['n'] ?? 0);
  return {
    version,
    root: paths.root,
    driver: context.driverName,
    driverStatus: await driver.status(),
    database: database.engine,
    layers: count('layers'),
    images: count('images'),
    containers: count(`containers WHERE kind = 'container'`),
    workspaces: count(`containers WHERE kind = 'workspace'`),
    snapshots: count('snapshots'),
    mounts: readMountTable().filter((mount) => mount.mountPoint.startsWith(`${paths.home}/`)).length,
  };
}
