import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export type LoopFileSystem = 'ext4' | 'xfs' | 'btrfs';

const mkfs: Record<LoopFileSystem, string[]> = {
  ext4: ['mkfs.ext4', '-q', '-F'],
  xfs: ['mkfs.xfs', '-q', '-f'],
  btrfs: ['mkfs.btrfs', '-q', '-f'],
};

/** A file system of its own in a file, mounted through a loop device. */
export class LoopMount implements Disposable {
  private constructor(
    readonly image: string,
    readonly path: string,
  ) {}

  /** @param options further arguments of mkfs */
  static make(
    directory: string,
    name: string,
    type: LoopFileSystem,
    megabytes: number,
    options: readonly string[] = [],
  ): LoopMount {
    const image = join(directory, `${name}.img`);
    writeFileSync(image, '');
    truncateSync(image, megabytes * 1024 * 1024);
    const [program = '', ...argv] = mkfs[type];
    execFileSync(program, [...argv, ...options, image], { stdio: 'pipe' });
    return LoopMount.mount(directory, name, image);
  }

  private static mount(directory: string, name: string, image: string): LoopMount {
    const path = join(directory, name);
    mkdirSync(path);
    execFileSync('mount', ['-o', 'loop', image, path]);
    return new LoopMount(image, path);
  }

  /**
   * What a power cut at this instant would leave: the device's content without anything that still waits in the mounted
   * file system's cache.
   */
  afterPowerCut(directory: string, name: string): LoopMount {
    const copy = join(directory, `${name}.img`);
    copyFileSync(this.image, copy);
    return LoopMount.mount(directory, name, copy);
  }

  /** Lazily: libsql may hold the files of a closed database until the garbage collector finds its last statement. */
  [Symbol.dispose](): void {
    execFileSync('umount', ['-l', this.path]);
  }
}
