import { closeSync } from 'node:fs';
import type { TreeFiles } from '@layerstore/archive';
import type { FileStatus } from '@layerstore/linux';
import { packDevice } from '../format/device-number.js';
import {
  CHUNKED_FILE,
  contentFlags,
  DIRECTORY,
  REGULAR_FILE,
  SPECIAL_FILE,
  SYMBOLIC_LINK,
} from '../format/entry-flags.js';
import type { CatalogRow } from './catalog-file.js';
import type { ObjectStage } from './object-stage.js';
import { storeContent, type StoredContent } from './store-content.js';
import { storedAttributes } from './stored-attributes.js';

const TYPE_BITS = 0o170000;
const isType = ({ mode }: FileStatus, type: number): boolean => (mode & TYPE_BITS) === type;
export const isDirectory = (status: FileStatus): boolean => isType(status, 0o040000);
const isFile = (status: FileStatus): boolean => isType(status, 0o100000);
const isSymlink = (status: FileStatus): boolean => isType(status, 0o120000);
const isDevice = (status: FileStatus): boolean => isType(status, 0o020000) || isType(status, 0o060000);

const DIRECTORY_SIZE = 4096;
const SLASH = Buffer.from('/');
const nothing = Buffer.alloc(0);

/** Names of one file in one directory. */
export interface LinkGroup {
  /** 0 for a file with one name in its directory. */
  readonly group: number;
  readonly links: number;
}

/** Turns the files of one layer's tree into rows, and stores what is in them. */
export class LayerRows {
  /** Content of files with several names, in whatever directories, by inode: it is read once. */
  readonly #contents = new Map<bigint, Promise<StoredContent>>();

  /**
   * @param tree in overlay form: whiteouts are devices 0:0, opaque directories are marked
   * @param rootPath absolute path of the tree's root in the repository
   */
  constructor(
    private readonly tree: TreeFiles,
    private readonly rootPath: Buffer,
    private readonly stage: ObjectStage,
  ) {}

  /** @param path relative to the root of the tree; empty for the root */
  async row(path: Buffer, status: FileStatus, linkGroup: LinkGroup): Promise<CatalogRow> {
    const subject = path.length === 0 ? '/' : path.toString('utf8');
    const row: CatalogRow = {
      path: path.length === 0 ? this.rootPath : Buffer.concat([this.rootPath, SLASH, path]),
      flags: REGULAR_FILE,
      mode: status.mode,
      uid: status.uid,
      gid: status.gid,
      size: 0,
      mtimeNs: status.modifiedNs,
      links: linkGroup.links,
      linkGroup: linkGroup.group,
      hash: undefined,
      chunks: [],
      link: nothing,
      attributes: storedAttributes(this.tree.xattrs(path), subject),
    };
    if (isDirectory(status)) return { ...row, flags: DIRECTORY, size: DIRECTORY_SIZE };
    if (isFile(status)) return { ...row, ...contentColumns(await this.#content(path, status, subject)) };
    if (isSymlink(status)) {
      const link = this.tree.linkTarget(path);
      return { ...row, flags: REGULAR_FILE | SYMBOLIC_LINK, link, size: link.length };
    }
    const device = { major: status.specialMajor, minor: status.specialMinor };
    return { ...row, flags: REGULAR_FILE | SPECIAL_FILE, size: isDevice(status) ? packDevice(device) : 0 };
  }

  #content(path: Buffer, { inode, links }: FileStatus, subject: string): Promise<StoredContent> {
    if (links === 1) return this.#store(path, subject);
    const known = this.#contents.get(inode) ?? this.#store(path, subject);
    this.#contents.set(inode, known);
    return known;
  }

  async #store(path: Buffer, subject: string): Promise<StoredContent> {
    const fd = this.tree.open(path);
    try {
      return await storeContent(this.stage, fd, subject);
    } finally {
      closeSync(fd);
    }
  }
}

function contentColumns(content: StoredContent): Pick<CatalogRow, 'flags' | 'size' | 'hash' | 'chunks'> {
  const how = REGULAR_FILE | contentFlags('sha1', 'zlib');
  if (content.kind === 'object') {
    return { flags: how, size: content.object.size, hash: content.object.hash, chunks: [] };
  }
  const size = content.chunks.reduce((sum, chunk) => sum + chunk.size, 0);
  return { flags: how | CHUNKED_FILE, size, hash: undefined, chunks: content.chunks };
}
