/**
 * Limits on the size of writable layers, where the file system under the home can hold them.
 *
 * ```
 * <home>/backingFsBlockDev            a node of the file system's device, through which limits are set; as Docker makes it
 * <home>/.layerstore/projects.lock    held while a project is chosen
 * ```
 *
 * Every limited layer is a project of its own. Its number is one above all that are in use in the home.
 */
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fromSystemError, StoreError } from '@layerstore/core';
import {
  AT_FDCWD,
  FileLock,
  nativeProjectQuotaCalls,
  nativeSyscalls,
  S_IFBLK,
  type ProjectQuotaCalls,
} from '@layerstore/linux';
import type { Home } from './home.js';
import { listOptional } from './optional-file.js';

/** Why a limit cannot be kept, as the end of a sentence. */
export interface NoQuotas {
  readonly reason: string;
}

const deviceName = 'backingFsBlockDev';

export class ProjectQuotas {
  private constructor(
    private readonly state: string,
    /** The directory in which the layers lie. */
    private readonly layers: string,
    private readonly device: string,
    private readonly calls: ProjectQuotaCalls,
  ) {}

  /**
   * Looks whether the file system enforces limits. Cost: two system calls, on XFS only.
   * @param layers directory of the home in which the layers lie
   */
  static find(
    home: Pick<Home, 'path' | 'state' | 'readOnly' | 'backingFileSystem'>,
    layers: string,
    calls: ProjectQuotaCalls = nativeProjectQuotaCalls(),
  ): ProjectQuotas | NoQuotas {
    if (home.backingFileSystem !== 'xfs') return noQuotasOn(home.backingFileSystem);
    if (home.readOnly) return { reason: 'the home is only read' };
    const device = join(home.path, deviceName);
    try {
      makeDeviceNode(home.path, device);
      if (calls.isEnforced(device)) return new ProjectQuotas(home.state, layers, device, calls);
      return { reason: 'the xfs below the home was mounted without prjquota' };
    } catch (error) {
      return { reason: `the kernel has no project quotas (${fromSystemError(error).message})` };
    }
  }

  /**
   * Limits an empty directory that will be a layer.
   * @throws StoreError ERR_NO_SPACE, ERR_IO
   */
  async limit(directory: string, bytes: number): Promise<void> {
    try {
      mkdirSync(this.state, { recursive: true, mode: 0o700 });
      const lock = await FileLock.acquire(join(this.state, 'projects.lock'));
      try {
        const project = this.#unused(directory);
        this.calls.setProject(directory, project);
        this.calls.setLimit(this.device, project, bytes);
      } finally {
        lock.release();
      }
    } catch (error) {
      throw fromSystemError(error, directory);
    }
  }

  /** Layers that others are building count as well: they lie in staging. */
  #unused(directory: string): number {
    const staging = join(this.state, 'staging');
    const directories = [this.layers, ...directoriesIn(this.layers)];
    for (const work of directoriesIn(staging))
      directories.push(...directoriesIn(work).filter((path) => path !== directory));
    return Math.max(...directories.map((path) => this.calls.projectOf(path))) + 1;
  }
}

function directoriesIn(path: string): string[] {
  return listOptional(path).flatMap((entry) => (entry.isDirectory() ? [join(path, entry.name)] : []));
}

export function noQuotasOn(fileSystem: string): NoQuotas {
  return { reason: `only xfs with project quotas holds a size, and the home lies on ${fileSystem}` };
}

function makeDeviceNode(home: string, path: string): void {
  if (existsSync(path)) return;
  const { dev } = statSync(home);
  const [major, minor] = [((dev >>> 8) & 0xfff) >>> 0, ((dev & 0xff) | ((dev >>> 12) & 0xfff00)) >>> 0];
  nativeSyscalls().mknodat(AT_FDCWD, path, S_IFBLK | 0o600, major, minor);
}

/**
 * A size as Docker takes it: a number of bytes, or of units of 1024 (`10G`, `120m`, `1.5gb`).
 * @throws StoreError ERR_INVALID_ARGUMENT
 */
export function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?) ?([kmgtp]?)(?:i?b)?$/i.exec(text);
  const power = ['', 'k', 'm', 'g', 't', 'p'].indexOf(match?.[2]?.toLowerCase() ?? '?');
  const bytes = Math.floor(Number(match?.[1]) * 1024 ** power);
  if (match !== null && Number.isSafeInteger(bytes) && bytes >= 512) return bytes;
  throw new StoreError('ERR_INVALID_ARGUMENT', 'not a size of at least 512 bytes', {
    subject: JSON.stringify(text.slice(0, 40)),
    hint: 'give for example size=10G',
  });
}
