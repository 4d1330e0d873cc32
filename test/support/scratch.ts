import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { endProcessesOf } from './leftover-processes.js';

/** A directory that is gone, with every process that works in it and every mount below it, at the end of the test. */
export class Scratch implements Disposable {
  readonly path: string;

  constructor(name: string, parent = tmpdir()) {
    this.path = mkdtempSync(join(parent, `layerstore-${name}-`));
  }

  file(...parts: string[]): string {
    return join(this.path, ...parts);
  }

  [Symbol.dispose](): void {
    endProcessesOf(this.path);
    for (const point of mountsBelow(this.path).reverse()) execFileSync('umount', ['-l', point]);
    if (existsSync(this.path)) rmSync(this.path, { recursive: true, force: true });
  }
}

/** Mount points below a directory, in mount order. */
export function mountsBelow(path: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((point) => point.startsWith(`${path}/`));
}

/** True when a program can be started; tests that need it print why they are skipped. */
export function hasProgram(name: string): boolean {
  return (process.env['PATH'] ?? '').split(':').some((directory) => existsSync(join(directory, name)));
}

export const isRoot = process.getuid?.() === 0;
