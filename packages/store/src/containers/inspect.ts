import type { GraphDriver } from '@layerstore/drivers';
import { readMountTable } from '@layerstore/linux';
import type { StoreContext } from '../context.js';
import type { ContainerDetails, ContainerSummary } from '../model.js';
import {
  allContainers,
  containerSummary,
  resolveContainer,
  type ContainerKind,
  type ContainerRecord,
  type DamagedContainer,
} from './container-records.js';
import { countHolds } from './holds.js';

/** @throws StoreError ERR_CONTAINER_NOT_FOUND, ERR_STORE_DAMAGED */
export async function inspectContainer(context: StoreContext, nameOrId: string): Promise<ContainerDetails> {
  const container = resolveContainer(context.database, nameOrId);
  const driver = await context.driver();
  const [summary] = await summarise(context, [container]);
  const references = await context.database.write(() => countHolds(context.database, container.id));
  return {
    ...(summary ?? containerSummary(container, undefined)),
    ...(container.chainId === undefined ? {} : { chainId: container.chainId }),
    references,
    graphDriver: { name: driver.name, data: await driver.metadata(container.cacheId) },
  };
}

/** Every container of a kind, newest first, then those whose records cannot be read. */
export async function listContainers(context: StoreContext, kind: ContainerKind): Promise<ContainerSummary[]> {
  const { containers, damaged } = allContainers(context.database, kind);
  return [...(await summarise(context, containers)), ...damaged.map((record) => damagedSummary(record, kind))];
}

function damagedSummary(record: DamagedContainer, kind: ContainerKind): ContainerSummary {
  return {
    id: record.id as ContainerSummary['id'],
    name: record.name,
    image: '' as ContainerSummary['image'],
    imageReference: '',
    createdAt: new Date(0).toISOString(),
    kind,
    damaged: record.damaged,
  };
}

/** Summaries with mount points. Cost: the driver and one reading of the mount table, whatever the number. */
async function summarise(context: StoreContext, containers: readonly ContainerRecord[]): Promise<ContainerSummary[]> {
  if (containers.length === 0) return [];
  const driver = await context.driver();
  const mounted = new Set(readMountTable().map((mount) => mount.mountPoint));
  const held = new Set(
    context.database
      .prepare('SELECT container FROM holds')
      .all()
      .map((row) => row['container']),
  );
  const summaries: ContainerSummary[] = [];
  for (const container of containers) {
    const point = driver.mountPoint(container.cacheId);
    if (mounted.has(point)) summaries.push(containerSummary(container, point));
    else if (held.has(container.id))
      summaries.push(containerSummary(container, await unmountedView(driver, container)));
    else summaries.push(containerSummary(container, undefined));
  }
  return summaries;
}

/** A complete tree is its own view: nothing is mounted, and the hold alone says that it is in use. */
async function unmountedView(driver: GraphDriver, container: ContainerRecord): Promise<string | undefined> {
  const plan = await driver.plan(container.cacheId);
  return plan.kind === 'directory' ? plan.path : undefined;
}
