/**
 * Which layers of a home are thin: those whose sole entry is a valid `thin.json`, made by an archive or by hand, but not by
 * a program in a writable view.
 *
 * ```
 * <state>/thin/writable/<id>    the layer is a container's: whatever it holds, it is not thin
 * ```
 */
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  opendirSync,
  readSync,
  rmSync,
  existsSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fromSystemError, isLayerId, parseLayerId, type LayerId } from '@layerstore/core';
import { hasErrno } from '@layerstore/linux';
import { listOptional } from '../home/optional-file.js';
import { maxThinFileSize, parseThinFile, thinFileName, tooLarge, type ThinFile } from './thin-file.js';

/** What the kernel's aufs leaves in a branch says nothing about its content. */
const bookkeeping: readonly string[] = ['.wh..wh.aufs', '.wh..wh.plnk', '.wh..wh.orph'];

export class ThinLayers {
  readonly #writable: string;

  constructor(state: string) {
    this.#writable = join(state, 'thin', 'writable');
  }

  /**
   * What a layer stands for; `undefined` for an ordinary one. Cost: a status call for those.
   * @param path absolute path of its directory
   * @throws StoreError ERR_MALFORMED_THIN_LAYER, ERR_UNSUPPORTED_FORMAT, ERR_LIMIT_EXCEEDED
   */
  read(id: LayerId, path: string): ThinFile | undefined {
    if (!holdsThinFileOnly(path) || this.isWritable(id)) return undefined;
    const file = join(path, thinFileName);
    try {
      return parseThinFile(readLimited(file), file);
    } catch (error) {
      throw fromSystemError(error, file);
    }
  }

  /** True for a container's layer that would be taken for a thin one, were it made a layer. */
  isPlanted(id: LayerId, path: string): boolean {
    return this.isWritable(id) && holdsThinFileOnly(path);
  }

  isWritable(id: LayerId): boolean {
    return existsSync(this.#mark(id));
  }

  /** Programs may write into the layer. Not synced: after a power cut, what they wrote is gone as well. */
  markWritable(id: LayerId): void {
    mkdirSync(this.#writable, { recursive: true, mode: 0o700 });
    writeFileSync(this.#mark(id), '', { mode: 0o600 });
  }

  /** What is in the layer came from an archive or was committed by an engine; or the layer is gone. */
  unmark(id: LayerId): void {
    rmSync(this.#mark(id), { force: true });
  }

  /** Drops the marks of layers that are gone. */
  keepOnly(exists: (id: LayerId) => boolean): void {
    for (const { name } of listOptional(this.#writable)) if (isLayerId(name) && !exists(name)) this.unmark(name);
  }

  #mark(id: LayerId): string {
    return join(this.#writable, parseLayerId(id));
  }
}

function holdsThinFileOnly(path: string): boolean {
  if (lstatSync(join(path, thinFileName), { throwIfNoEntry: false })?.isFile() !== true) return false;
  const directory = opendirSync(path);
  try {
    for (let entry = directory.readSync(); entry !== null; entry = directory.readSync()) {
      if (entry.name !== thinFileName && !bookkeeping.includes(entry.name)) return false;
    }
    return true;
  } finally {
    directory.closeSync();
  }
}

/** The file may be replaced or grow while it is read. */
function readLimited(file: string): Buffer {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  const fd = openSync(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const status = fstatSync(fd);
    if (!status.isFile() || status.size > maxThinFileSize) throw tooLarge(file);
    const bytes = Buffer.alloc(status.size);
    return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, 0));
  } catch (error) {
    if (hasErrno(error, 'ELOOP')) throw tooLarge(file);
    throw error;
  } finally {
    closeSync(fd);
  }
}
