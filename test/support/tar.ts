import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** A tar of files, made by GNU tar; equal content gives equal bytes. */
export function tarOf(files: Readonly<Record<string, string | Buffer>>): Buffer {
  const directory = mkdtempSync(join(tmpdir(), 'layerstore-tar-'));
  try {
    for (const [name, content] of Object.entries(files)) {
      mkdirSync(dirname(join(directory, name)), { recursive: true });
      writeFileSync(join(directory, name), content);
    }
    return execFileSync('tar', ['-C', directory, '--sort=name', '--mtime=@0', '--numeric-owner', '-c', '.'], {
      maxBuffer: 1 << 30,
    });
  } finally {
    rmSync(directory, { recursive: true });
  }
}
