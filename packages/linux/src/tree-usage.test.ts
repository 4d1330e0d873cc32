import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { realTimeNs } from './real-time.js';
import { removeTree } from './remove-tree.js';
import { treeUsage } from './tree-usage.js';

let base: string;

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'usage-'));
});
afterEach(() => removeTree(base));

/** Bytes by du(1), which counts like this: allocated blocks, hard links once. */
const du = (path: string): number =>
  Number(execFileSync('du', ['--summarize', '--block-size=1', path], { encoding: 'utf8' }).split('\t')[0]);

describe.skipIf(process.platform !== 'linux')('treeUsage (Linux only)', () => {
  it('counts allocated blocks and inodes as du does, a hard link once', () => {
    mkdirSync(join(base, 'a/b'), { recursive: true });
    writeFileSync(join(base, 'a/file'), Buffer.alloc(10_000));
    linkSync(join(base, 'a/file'), join(base, 'a/b/again'));
    writeFileSync(join(base, 'empty'), '');
    symlinkSync('/etc', join(base, 'link'));
    execFileSync('truncate', ['--size=100M', join(base, 'sparse')]);
    expect(treeUsage(base)).toEqual({ size: du(base), inodes: 7 });
  });

  it('counts a tree that is deeper than any path may be long', () => {
    const depth = 3000;
    execFileSync('python3', [
      '-c',
      `import os, sys\nos.chdir(sys.argv[1])\nfor i in range(${depth}):\n  os.mkdir('d'); os.mkdir('e'); os.chdir('d')`,
      base,
    ]);
    expect(treeUsage(base).inodes).toBe(1 + 2 * depth);
  });

  it('names what cannot be read', () => {
    rmSync(base, { recursive: true });
    expect(() => treeUsage(base)).toThrow(`${base}: `);
    mkdirSync(base);
  });
});

describe.skipIf(process.platform !== 'linux')('realTimeNs (Linux only)', () => {
  it('agrees with Date.now and tells moments of one millisecond apart', () => {
    const before = Date.now();
    const times = [realTimeNs(), realTimeNs()];
    const after = Date.now();
    expect(Number(times[0]! / 1_000_000n)).toBeGreaterThanOrEqual(before);
    expect(Number(times[1]! / 1_000_000n)).toBeLessThanOrEqual(after);
    expect(times[1]).not.toBe(times[0]);
  });
});
