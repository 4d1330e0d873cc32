/**
 * Which layers may still take an archive.
 *
 * Engines repeat a request whose connection broke, but what they have sent of an archive is gone: the repetition starts in
 * the middle, perhaps at the start of a member, and would be a legal archive of a layer that lacks files. So a layer takes
 * one archive in its life, and only from the process that made it or after the engine has given up repeating.
 *
 * ```
 * <home>/.layerstore/fresh/<id>       made and never filled; holds a mark of the process that made it
 * <home>/.layerstore/unpacking/<id>   is being filled: after a crash it is half a layer, and goes
 * ```
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isLayerId, StoreError, type LayerId } from '@layerstore/core';
import { hasErrno } from '@layerstore/linux';

/** Milliseconds for which engines repeat a broken exchange (30 s in moby's plugin client), and as many again. */
const REPEATED_FOR = 60_000;

export class FreshLayers {
  readonly #fresh: string;
  readonly #unpacking: string;
  readonly #process = randomBytes(16).toString('hex');
  readonly #opened = performance.now();

  /**
   * @param repetitions whether the engine may still repeat requests that it sent to a process before this one
   */
  constructor(
    home: string,
    private readonly repetitions: 'expected' | 'none',
  ) {
    this.#fresh = join(home, '.layerstore', 'fresh');
    this.#unpacking = join(home, '.layerstore', 'unpacking');
    for (const path of [this.#fresh, this.#unpacking]) mkdirSync(path, { recursive: true, mode: 0o700 });
  }

  /** Notes that a layer was made. */
  made(id: LayerId): void {
    writeFileSync(join(this.#fresh, id), this.#process, { mode: 0o600 });
  }

  /** The layer is read by a child from now on. */
  hasChild(id: LayerId): void {
    rmSync(join(this.#fresh, id), { force: true });
  }

  /** The layer is gone. */
  forget(id: LayerId): void {
    for (const directory of [this.#fresh, this.#unpacking]) rmSync(join(directory, id), { force: true });
  }

  /** From now on the layer counts as half filled. @throws StoreError ERR_EXISTS when it must not be filled */
  beginUnpacking(id: LayerId): void {
    const maker = readIfPresent(join(this.#fresh, id));
    if (maker === undefined) {
      throw new StoreError('ERR_EXISTS', 'the layer cannot take an archive: it has had one, or has children', {
        subject: id,
        hint: 'repeat the pull, load or build: the engine makes a new layer for it',
      });
    }
    if (maker !== this.#process && this.repetitions === 'expected' && performance.now() - this.#opened < REPEATED_FOR) {
      throw new StoreError(
        'ERR_EXISTS',
        'the layer was made before the plugin was restarted, so its archive may lack its beginning',
        { subject: id, hint: 'repeat the pull, load or build: the engine makes a new layer for it' },
      );
    }
    renameSync(join(this.#fresh, id), join(this.#unpacking, id));
  }

  /** The layer has its content. */
  endUnpacking(id: LayerId): void {
    rmSync(join(this.#unpacking, id), { force: true });
  }

  /** Nothing was done: the layer may be filled as before. */
  takeBack(id: LayerId): void {
    renameSync(join(this.#unpacking, id), join(this.#fresh, id));
  }

  /** Layers that a process which is gone has filled in part. */
  halfFilled(): LayerId[] {
    return readdirSync(this.#unpacking).filter(isLayerId);
  }

  /** Forgets layers that are not there any more. */
  keepOnly(layers: ReadonlySet<LayerId>): void {
    for (const id of readdirSync(this.#fresh).filter(isLayerId)) if (!layers.has(id)) this.forget(id);
  }
}

function readIfPresent(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}
