import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** A layer tar by GNU tar: names and what is in the files. */
export function tarOf(files: Readonly<Record<string, string | Buffer>>): Buffer {
  const directory = mkdtempSync(join(tmpdir(), 'layerstore-tar-'));
  try {
    for (const [name, content] of Object.entries(files)) {
      mkdirSync(dirname(join(directory, name)), { recursive: true });
      writeFileSync(join(directory, name), content);
    }
    const names = Object.keys(files);
    return execFileSync('tar', ['-C', directory, '--sort=name', '-cf', '-', ...names], { maxBuffer: 1 << 30 });
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** The names in a tar. */
export function namesIn(tar: Buffer): string[] {
  return execFileSync('tar', ['-tf', '-'], { input: tar, encoding: 'utf8' }).split('\n').filter(Boolean);
}
