/**
 * The layers in an overlay home, as Docker's driver of that name writes them.
 *
 * ```
 * <home>/<id>/root/       an image's layer: the complete tree, whose files are hard links to those of the parent's
 * ```
 * or, for containers and for layers that are being made,
 * ```
 * <home>/<id>/upper/      the changes
 * <home>/<id>/work/       for the kernel
 * <home>/<id>/merged/     where the view is mounted; there only while it is
 * <home>/<id>/lower-id    the layer over whose `root` the changes lie, no line end
 * ```
 * Where both are found, an engine was interrupted after it had completed `root`: the rest is ignored, and swept.
 *
 * Engines write `lower-id` without syncing it: what it says is checked before a path is made of it.
 */
import { join } from 'node:path';
import { isLayerId, parseLayerId, StoreError, type LayerId } from '@layerstore/core';
import { isDirectory, listOptional, readOptional } from '../home/optional-file.js';

export type OverlayLayer = CompleteLayer | ChangesLayer;

export interface CompleteLayer {
  readonly form: 'complete';
  readonly root: string;
}

export interface ChangesLayer {
  readonly form: 'changes';
  readonly upper: string;
  readonly work: string;
  /** The layer below, and its complete tree. */
  readonly lower: LayerId;
  readonly lowerRoot: string;
}

type LayerFile = 'root' | 'upper' | 'work' | 'merged' | 'lower-id' | 'empty';

/** What an interrupted completion leaves beside `root`. */
const restNames = ['upper', 'work', 'lower-id'] as const;

export class OverlayRecords {
  constructor(readonly home: string) {}

  /** @throws StoreError ERR_INVALID_ID */
  directory(id: LayerId): string {
    return join(this.home, parseLayerId(id));
  }

  file(id: LayerId, name: LayerFile): string {
    return join(this.directory(id), name);
  }

  exists(id: LayerId): boolean {
    return isDirectory(this.directory(id));
  }

  list(): LayerId[] {
    const directories = listOptional(this.home).filter((entry) => entry.isDirectory());
    return directories.map((entry) => entry.name).filter(isLayerId);
  }

  /** @throws StoreError ERR_LAYER_NOT_FOUND, ERR_STORE_DAMAGED */
  read(id: LayerId): OverlayLayer {
    if (!this.exists(id)) {
      throw new StoreError('ERR_LAYER_NOT_FOUND', `there is no such layer in ${this.home}`, { subject: id });
    }
    const root = this.file(id, 'root');
    if (isDirectory(root)) return { form: 'complete', root };
    const lower = this.#lowerOf(id);
    const [upper, work] = [this.file(id, 'upper'), this.file(id, 'work')];
    if (!isDirectory(upper)) throw damaged(upper, 'the directory of the layer is gone');
    return { form: 'changes', upper, work, lower, lowerRoot: this.file(lower, 'root') };
  }

  /** Names beside a complete `root` that an interrupted process has not removed. */
  rest(id: LayerId): string[] {
    const names = listOptional(this.directory(id)).map((entry) => entry.name);
    return names.includes('root') ? restNames.filter((name) => names.includes(name)) : [];
  }

  #lowerOf(id: LayerId): LayerId {
    const record = this.file(id, 'lower-id');
    const lower = readOptional(record);
    if (lower === undefined)
      throw damaged(record, 'the layer has neither a complete tree nor a record of its lower layer');
    if (!isLayerId(lower)) throw damaged(record, 'it names no layer');
    if (!isDirectory(this.file(lower, 'root'))) throw damaged(record, `the layer that it names, ${lower}, is gone`);
    return lower;
  }
}

function damaged(path: string, reason: string): StoreError {
  return new StoreError('ERR_STORE_DAMAGED', reason, {
    subject: path,
    hint: 'remove the layer and everything above it, then load the image again',
  });
}
