import { readFileSync } from 'node:fs';
import { TreeFiles } from '@layerstore/archive';
import { StoreError } from '@layerstore/core';
import type { FileStatus } from '@layerstore/linux';
import { NESTED_ROOT } from '../format/entry-flags.js';
import { CatalogFile, type CatalogRow, type NestedCatalog } from './catalog-file.js';
import { directoryRow } from './directory-row.js';
import { isDirectory, LayerRows, type LinkGroup } from './layer-rows.js';
import type { ObjectStage } from './object-stage.js';

/** Files whose content is stored at the same time. */
const WINDOW = 32;
/** Bytes of them. */
const WINDOW_BYTES = 128 * 1024 * 1024;
const SLASH = Buffer.from('/');
const ONE_NAME: LinkGroup = { group: 0, links: 1 };

export interface LayerCatalogOptions {
  readonly stage: ObjectStage;
  /** Directory of the layer's tree, in overlay form. */
  readonly tree: string;
  /** Absolute path in the repository of the directory that holds `layerfs`. */
  readonly path: string;
  /** Where the database is written; nothing is there. */
  readonly file: string;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/**
 * Publishes a tree as a nested catalog of its own: all files become objects, the catalog too. Rows come in the order of the walk, names by
 * bytes, so that equal trees give equal catalogs.
 * @throws StoreError ERR_LIMIT_EXCEEDED, ERR_NOT_SUPPORTED for what a catalog cannot hold; ERR_IO, ERR_NO_SPACE, ERR_NEEDS_ROOT
 */
export async function writeLayerCatalog(options: LayerCatalogOptions): Promise<NestedCatalog> {
  const { stage, path, now } = options;
  using catalog = CatalogFile.create(options.file, path);
  using tree = new TreeFiles(options.tree);
  const root = directoryRow(Buffer.from(path), now);
  catalog.insert({ ...root, flags: root.flags | NESTED_ROOT, links: 3 });
  const rows = new LayerRows(tree, Buffer.from(`${path}/layerfs`), stage);
  const queue: { readonly row: Promise<CatalogRow>; readonly size: number }[] = [];
  let bytes = 0;
  const insertFirst = async (): Promise<void> => {
    const first = queue.shift();
    if (first === undefined) return;
    catalog.insert(await first.row);
    bytes -= first.size;
  };
  for (const { path: at, status, linkGroup } of walkTree(tree)) {
    const row = rows.row(at, status, linkGroup);
    // It is told when its turn comes; until then an earlier failure ends the publication.
    row.catch(() => undefined);
    queue.push({ row, size: status.size });
    bytes += status.size;
    while (queue.length > WINDOW || (bytes > WINDOW_BYTES && queue.length > 0)) await insertFirst();
  }
  while (queue.length > 0) await insertFirst();
  const { size, statistics } = catalog.finish({
    revision: '1',
    previous_revision: '0'.repeat(40),
    last_modified: String(Math.floor(now / 1000)),
  });
  const { hash } = await stage.add('catalog', readFileSync(options.file));
  return { hash, size, statistics };
}

interface Walked {
  readonly path: Buffer;
  readonly status: FileStatus;
  readonly linkGroup: LinkGroup;
}

/** Every entry of a tree, directories before what is in them. Hard links are told inside one directory, which is all that a catalog can hold. */
function* walkTree(tree: TreeFiles): Generator<Walked, void> {
  let lastGroup = 0;
  const pending: { readonly path: Buffer; readonly status: FileStatus }[] = [
    { path: Buffer.alloc(0), status: present(tree, Buffer.alloc(0)) },
  ];
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    const { path } = directory;
    const children = tree.names(path).map((name) => {
      const child = path.length === 0 ? name : Buffer.concat([path, SLASH, name]);
      return { path: child, status: present(tree, child) };
    });
    const directories = children.filter(({ status }) => isDirectory(status));
    yield { ...directory, linkGroup: { group: 0, links: 2 + directories.length } };
    const names = new Map<bigint, number>();
    for (const { status } of children) {
      if (!isDirectory(status) && status.links > 1) names.set(status.inode, (names.get(status.inode) ?? 0) + 1);
    }
    const groups = new Map<bigint, LinkGroup>();
    for (const [inode, links] of names) if (links > 1) groups.set(inode, { group: (lastGroup += 1), links });
    for (const child of children) {
      if (!isDirectory(child.status)) yield { ...child, linkGroup: groups.get(child.status.inode) ?? ONE_NAME };
    }
    pending.push(...directories.reverse());
  }
}

function present(tree: TreeFiles, path: Buffer): FileStatus {
  const status = tree.status(path);
  if (status !== undefined) return status;
  throw new StoreError('ERR_IO', 'the entry went while the tree was read', {
    subject: path.toString('utf8'),
    hint: 'stop or pause whatever writes there, and try again',
  });
}
