/** A disk whose power can be cut: a file system in a file, mounted through a loop device. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mountsBelow } from '../support/scratch.js';
import type { LoopFileSystem } from '../support/loop.js';

const mkfs: Record<LoopFileSystem, readonly string[]> = {
  ext4: ['mkfs.ext4', '-q', '-F'],
  xfs: ['mkfs.xfs', '-q', '-f'],
  btrfs: ['mkfs.btrfs', '-q', '-f'],
};

export class PoweredDisk implements Disposable {
  readonly path: string;
  readonly #image: string;
  readonly #type: LoopFileSystem;

  constructor(directory: string, type: LoopFileSystem, megabytes: number) {
    this.path = join(directory, 'disk');
    this.#image = join(directory, 'disk.img');
    this.#type = type;
    mkdirSync(this.path);
    this.format(megabytes);
  }

  /** An empty file system in place of the old one. */
  format(megabytes: number): void {
    this.#unmount();
    writeFileSync(this.#image, '');
    truncateSync(this.#image, megabytes * 1024 * 1024);
    const [program = '', ...argv] = mkfs[this.#type];
    execFileSync(program, [...argv, this.#image], { stdio: 'pipe' });
    this.#mount();
  }

  /**
   * Goes on with what the device holds now, without anything that still waits in the mounted file system's cache. Every
   * process that writes must be dead or stopped.
   */
  cutPower(): void {
    const copy = `${this.#image}.copy`;
    const again = `${this.#image}.again`;
    // The kernel may be writing by itself: a copy counts only when nothing changed while it was made.
    for (;;) {
      copyFileSync(this.#image, copy);
      copyFileSync(this.#image, again);
      if (sameContent(copy, again)) break;
    }
    rmSync(again);
    this.#unmount();
    renameSync(copy, this.#image);
    this.#mount();
  }

  #mount(): void {
    execFileSync('mount', ['-o', 'loop', this.#image, this.path]);
  }

  #unmount(): void {
    for (const point of mountsBelow(this.path).reverse()) execFileSync('umount', [point]);
    if (readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${this.path} `)) execFileSync('umount', [this.path]);
  }

  [Symbol.dispose](): void {
    this.#unmount();
  }
}

function sameContent(first: string, second: string): boolean {
  try {
    execFileSync('cmp', ['-s', first, second]);
    return true;
  } catch {
    return false;
  }
}
