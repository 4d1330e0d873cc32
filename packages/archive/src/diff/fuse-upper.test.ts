import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AT_FDCWD, nativeSyscalls } from '@layerstore/linux';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DiffSource } from '../layer-tree.js';
import { LayerStack } from '../tree/stack.js';
import { diffSize, findChanges } from './changes.js';
import { writeDiff } from './write.js';

/** The upper of a mount of fuse-overlayfs 1.10, as it lies there while it is mounted. */
describe.skipIf(process.getuid?.() !== 0)('an upper that fuse-overlayfs writes into (needs root)', () => {
  let base: string;
  let source: DiffSource;
  beforeEach(() => {
    base = mkdtempSync(join(tmpdir(), 'fuse-upper-'));
    const sys = nativeSyscalls();
    for (const name of ['lower/replaced', 'upper/new', 'upper/replaced'])
      mkdirSync(join(base, name), { recursive: true });
    for (const name of ['lower/replaced/below', 'upper/new/file', 'lower/touched', 'upper/touched'])
      writeFileSync(join(base, name), 'text');
    for (const name of ['new', 'replaced']) {
      const directory = join(base, 'upper', name);
      sys.setXattr(directory, 'trusted.overlay.opaque', Buffer.from('y'));
      writeFileSync(join(directory, '.wh..wh..opq'), '', { mode: 0o700 });
      sys.mknodat(AT_FDCWD, join(directory, '.wh..opq'), 0o020700, 0, 0);
    }
    sys.setXattr(join(base, 'upper/touched'), 'user.fuseoverlayfs.origin', Buffer.from('touched'));
    for (const layer of ['lower', 'upper']) sys.utimensat(AT_FDCWD, join(base, layer, 'touched'), 0n, 0n, 0);
    source = {
      upper: { path: join(base, 'upper'), dialect: 'overlay' },
      lowers: [{ path: join(base, 'lower'), dialect: 'overlay' }],
    };
  });
  afterEach(() => rmSync(base, { recursive: true }));

  it('shows no markers of its own, and what it only touched is no change', () => {
    const changes = [...findChanges(source)].map(({ kind, path }) => `${kind} ${path.toString()}`);
    expect(changes).toEqual(['add /new', 'add /new/file', 'modify /replaced', 'delete /replaced/below']);
    expect(diffSize(source)).toBe(4);
  });

  it('gives a diff without markers', () => {
    let bytes = 0;
    for (const chunk of writeDiff(source)) bytes += chunk.length;
    expect(bytes).toBeGreaterThan(0);
  });

  it('shows as a lower what a view shows', () => {
    using stack = new LayerStack([source.upper, ...source.lowers]);
    expect(stack.names(Buffer.from('replaced')).map(String)).toEqual([]);
    expect(stack.names(Buffer.from('new')).map(String)).toEqual(['file']);
  });
});
