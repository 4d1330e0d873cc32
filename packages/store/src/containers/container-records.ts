import { isDigest, parseLayerId, StoreError, type ChainId, type Digest, type LayerId } from '@layerstore/core';
import type { MetaDatabase } from '../database/meta-database.js';
import type { Row } from '@layerstore/sqlite';
import { familiar } from '../images/names.js';
import type { ContainerSummary } from '../model.js';
import type { ProcessMark } from '../process-mark.js';

export type ContainerKind = ContainerSummary['kind'];

/** A writable layer over an image. */
export interface ContainerRecord {
  readonly id: LayerId;
  readonly name: string;
  readonly kind: ContainerKind;
  readonly image: Digest;
  /** Canonical name by which the image was given, or its id. */
  readonly imageReference: string;
  readonly chainId: ChainId | undefined;
  readonly cacheId: LayerId;
  /** The process whose end makes a workspace collectable; pid 0: nobody's. */
  readonly owner: ProcessMark;
  readonly created: number;
}

export function insertContainer(database: MetaDatabase, container: ContainerRecord): void {
  database
    .prepare('INSERT INTO containers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
    .run(
      container.id,
      container.name,
      container.kind,
      container.image,
      container.imageReference,
      container.chainId ?? null,
      container.cacheId,
      container.owner.pid,
      container.owner.started,
      container.created,
    );
}

export function deleteContainer(database: MetaDatabase, id: LayerId): void {
  database.prepare('DELETE FROM holds WHERE container = ?').run(id);
  database.prepare('DELETE FROM containers WHERE id = ?').run(id);
}

/** A record that cannot be decoded: it hides no other. */
export interface DamagedContainer {
  readonly id: string;
  readonly name: string;
  readonly damaged: string;
}

/** Every container of a kind, newest first; and the records that cannot be read. */
export function allContainers(
  database: MetaDatabase,
  kind?: ContainerKind,
): { containers: ContainerRecord[]; damaged: DamagedContainer[] } {
  const containers: ContainerRecord[] = [];
  const damaged: DamagedContainer[] = [];
  for (const row of database.prepare('SELECT * FROM containers ORDER BY created DESC, id').all()) {
    if (kind !== undefined && row['kind'] !== kind) continue;
    try {
      containers.push(decodeContainer(row));
    } catch (error) {
      if (!StoreError.is(error)) throw error;
      damaged.push({ id: String(row['id']), name: String(row['name']), damaged: error.message });
    }
  }
  return { containers, damaged };
}

/**
 * Finds a container or workspace by name, id, or a unique prefix of an id.
 * @throws StoreError ERR_CONTAINER_NOT_FOUND, ERR_AMBIGUOUS_ID
 */
export function resolveContainer(database: MetaDatabase, nameOrId: string): ContainerRecord {
  const rows = [
    ...database.prepare('SELECT * FROM containers WHERE name = ?').all(nameOrId),
    ...(/^[0-9a-f]{2,64}$/.test(nameOrId)
      ? database
          .prepare('SELECT * FROM containers WHERE id >= ?1 AND id < ?2 AND name <> ?3 LIMIT 2')
          .all(nameOrId, `${nameOrId}g`, nameOrId)
      : []),
  ];
  const [first, second] = rows;
  if (first === undefined) {
    throw new StoreError('ERR_CONTAINER_NOT_FOUND', 'no such container', {
      subject: nameOrId,
      hint: '`layerstore ps` lists what is there',
    });
  }
  const found = decodeContainer(first);
  if (second !== undefined && found.name !== nameOrId) {
    throw new StoreError('ERR_AMBIGUOUS_ID', 'the abbreviated id fits several containers', {
      subject: nameOrId,
      hint: 'give more digits, or the name',
    });
  }
  return found;
}

function decodeContainer(row: Row): ContainerRecord {
  const { id, name, kind, image, image_reference, chain_id, cache_id, owner_pid, owner_started, created } = row;
  if (!isDigest(image) || (chain_id !== null && !isDigest(chain_id)) || typeof created !== 'number') {
    throw new StoreError('ERR_STORE_DAMAGED', 'container record: a field is malformed', {
      subject: String(id),
      hint: 'remove the container: layerstore rm --force ID',
    });
  }
  return {
    id: parseLayerId(id),
    name: String(name),
    kind: kind === 'workspace' ? 'workspace' : 'container',
    image,
    imageReference: String(image_reference),
    chainId: chain_id ?? undefined,
    cacheId: parseLayerId(cache_id),
    owner: { pid: Number(owner_pid), started: Number(owner_started) },
    created,
  };
}

export function containerSummary(container: ContainerRecord, mountedAt: string | undefined): ContainerSummary {
  return {
    id: container.id,
    name: container.name,
    image: container.image,
    imageReference: isDigest(container.imageReference) ? container.imageReference : familiar(container.imageReference),
    createdAt: new Date(container.created).toISOString(),
    ...(mountedAt === undefined ? {} : { mountedAt }),
    kind: container.kind,
  };
}
