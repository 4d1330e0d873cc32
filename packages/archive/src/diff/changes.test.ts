import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DiffSource, LayerTree } from '../layer-tree.js';
import { editedLayer } from '../tree/testing/overlay-view.js';
import { diffSize, findChanges } from './changes.js';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'layerstore-changes-'));
});

afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

function base(...files: readonly string[]): LayerTree {
  const path = join(directory, 'base');
  for (const file of files) {
    mkdirSync(join(path, file, '..'), { recursive: true });
    writeFileSync(join(path, file), 'old');
  }
  return { path, dialect: 'overlay' };
}

function edited(lower: LayerTree, edit: (path: string) => void): DiffSource {
  return { upper: editedLayer(directory, 'upper', [lower], edit), lowers: [lower] };
}

function changes(source: DiffSource): string[] {
  const letters = { add: 'A', modify: 'C', delete: 'D' };
  return [...findChanges(source)].map(({ path, kind }) => `${letters[kind]} ${path.toString()}`);
}

describe.skipIf(process.getuid?.() !== 0)('findChanges (needs root: mounts overlays)', () => {
  it('lists what docker diff lists', () => {
    const source = edited(base('etc/passwd', 'etc/motd', 'var/log/old', 'usr/bin/true'), (path) => {
      writeFileSync(join(path, 'etc/passwd'), 'changed');
      rmSync(join(path, 'etc/motd'));
      rmSync(join(path, 'var/log'), { recursive: true });
      mkdirSync(join(path, 'srv/data'), { recursive: true });
      writeFileSync(join(path, 'srv/data/file'), 'new');
    });
    expect(changes(source)).toEqual([
      'C /etc',
      'D /etc/motd',
      'C /etc/passwd',
      'A /srv',
      'A /srv/data',
      'A /srv/data/file',
      'C /var',
      'D /var/log',
    ]);
    expect(diffSize(source)).toBe('changed'.length + 'new'.length);
  });

  it('says of a directory that was made anew what is gone, kept and new in it', () => {
    const source = edited(base('d/gone', 'd/same', 'd/changed'), (path) => {
      utimesSync(join(path, 'd/same'), 10, 10);
      rmSync(join(path, 'd'), { recursive: true });
      mkdirSync(join(path, 'd'));
      for (const name of ['changed', 'new', 'same'])
        writeFileSync(join(path, 'd', name), name === 'same' ? 'old' : 'new!');
      utimesSync(join(path, 'd/same'), 20, 20);
    });
    utimesSync(join(directory, 'base/d/same'), 20, 20);
    expect(changes(source)).toEqual(['C /d', 'C /d/changed', 'D /d/gone', 'A /d/new']);
  });

  it('does not list a directory of which only the time changed', () => {
    const source = edited(base('d/file'), (path) => {
      writeFileSync(join(path, 'd/temporary'), '');
      rmSync(join(path, 'd/temporary'));
    });
    expect(changes(source)).toEqual([]);
  });

  it('lists names as bytes and sorts by component, not by text', () => {
    const odd = Buffer.from([0x2f, 0x61, 0xff]);
    const source = edited(base('a/file', 'a.b'), (path) => {
      writeFileSync(join(path, 'a/new'), '');
      writeFileSync(join(path, 'a.c'), '');
      writeFileSync(Buffer.concat([Buffer.from(path), odd]), '');
    });
    const found = [...findChanges(source)].map(({ path }) => path);
    expect(found).toEqual([Buffer.from('/a'), Buffer.from('/a/new'), Buffer.from('/a.c'), odd]);
  });

  it('goes on when entries vanish while it runs', () => {
    const source = edited(base('kept'), (path) => {
      for (const name of ['a', 'b', 'c']) {
        mkdirSync(join(path, name));
        writeFileSync(join(path, name, 'file'), '');
      }
    });
    const found: string[] = [];
    for (const { path } of findChanges(source)) {
      found.push(path.toString());
      if (path.toString() === '/a') {
        rmSync(join(source.upper.path, 'a'), { recursive: true });
        rmSync(join(source.upper.path, 'b'), { recursive: true });
      }
    }
    expect(found).toEqual(['/a', '/c', '/c/file']);
  });
});
