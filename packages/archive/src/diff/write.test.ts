import {
  chmodSync,
  closeSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AT_FDCWD, nativeSyscalls, S_IFCHR, S_IFSOCK } from '@layerstore/linux';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Dialect, DiffSource, LayerTree } from '../layer-tree.js';
import type { TarEntry } from '../tar/entry.js';
import { TarReader } from '../tar/reader.js';
import { editedLayer } from '../tree/testing/overlay-view.js';
import type { TarWriteOptions } from '../tar/writer.js';
import { writeDiff, writeTree } from './write.js';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'layerstore-write-'));
});

afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

function layer(name: string, make: (path: string) => void = () => undefined, dialect: Dialect = 'overlay'): LayerTree {
  const path = join(directory, name);
  mkdirSync(path);
  make(path);
  return { path, dialect };
}

interface Member {
  readonly entry: TarEntry;
  readonly content: string;
}

function members(source: DiffSource, options?: TarWriteOptions): Map<string, Member> {
  using reader = new TarReader(writeDiff(source, options));
  const found = new Map<string, Member>();
  for (let entry = reader.next(); entry !== undefined; entry = reader.next()) {
    let content = '';
    for (const { data } of reader.payload()) content += data.toString();
    found.set(entry.name.toString(), { entry, content });
  }
  return found;
}

function names(source: DiffSource): string[] {
  return [...members(source).keys()];
}

/** Changes that the kernel itself writes into an upper. */
function edited(base: LayerTree, edit: (path: string) => void): DiffSource {
  return { upper: editedLayer(directory, 'upper', [base], edit), lowers: [base] };
}

const failure = (code: string, text: string) =>
  expect.objectContaining({ code, message: expect.stringContaining(text) as string }) as Error;

function drain(source: DiffSource): void {
  for (const chunk of writeDiff(source)) expect(chunk.length).toBeGreaterThan(0);
}

describe.skipIf(process.getuid?.() !== 0)(
  'writeDiff over uppers that the kernel wrote (needs root: mounts overlays)',
  () => {
    it('writes whiteouts, opaque directories and parents, sorted', () => {
      const base = layer('base', (path) => {
        for (const name of ['etc', 'etc/deep', 'replaced', 'untouched']) mkdirSync(join(path, name));
        for (const name of ['etc/deep/gone', 'etc/passwd', 'replaced/old', 'untouched/file'])
          writeFileSync(join(path, name), 'old');
      });
      const source = edited(base, (path) => {
        rmSync(join(path, 'etc/deep/gone'));
        writeFileSync(join(path, 'etc/passwd'), 'new!');
        rmSync(join(path, 'replaced'), { recursive: true });
        mkdirSync(join(path, 'replaced'));
        writeFileSync(join(path, 'replaced/new'), 'new');
        mkdirSync(join(path, 'fresh'));
      });
      expect(names(source)).toEqual([
        './',
        'etc/',
        'etc/deep/',
        'etc/deep/.wh.gone',
        'etc/passwd',
        'fresh/',
        'replaced/',
        'replaced/.wh..wh..opq',
        'replaced/new',
      ]);
    });

    it('writes no whiteout for a name that no lower layer has', () => {
      const base = layer('base', (path) => {
        mkdirSync(join(path, 'd'));
        writeFileSync(join(path, 'd/kept'), '');
      });
      const upper = layer('upper', (path) => {
        mkdirSync(join(path, 'd'));
        nativeSyscalls().mknodat(AT_FDCWD, join(path, 'd/never'), S_IFCHR, 0, 0);
        nativeSyscalls().mknodat(AT_FDCWD, join(path, 'nowhere'), S_IFCHR, 0, 0);
        utimesSync(join(path, 'd'), 1, 1);
      });
      expect(names({ upper, lowers: [base] })).toEqual(['./', 'd/']);
    });

    it('writes no opaque marker for a new directory, though the kernel marks it so', () => {
      const base = layer('base', (path) => writeFileSync(join(path, 'was-file'), ''));
      const source = edited(base, (path) => {
        mkdirSync(join(path, 'new'));
        rmSync(join(path, 'was-file'));
        mkdirSync(join(path, 'was-file'));
        writeFileSync(join(path, 'was-file/inside'), '');
      });
      expect(nativeSyscalls().getXattr(join(source.upper.path, 'was-file'), 'trusted.overlay.opaque')?.toString()).toBe(
        'y',
      );
      expect(names(source)).toEqual(['./', 'new/', 'was-file/', 'was-file/inside']);
    });

    it('leaves out what was copied up and not changed', () => {
      const base = layer('base', (path) => {
        mkdirSync(join(path, 'd'));
        writeFileSync(join(path, 'd/opened'), 'content');
        writeFileSync(join(path, 'd/chmod'), 'content');
        symlinkSync('target', join(path, 'd/link'));
      });
      const source = edited(base, (path) => {
        closeSync(openSync(join(path, 'd/opened'), 'r+'));
        chmodSync(join(path, 'd/chmod'), 0o600);
        chmodSync(join(path, 'd/chmod'), 0o644);
        lutimesSync(join(path, 'd/link'), 5, 5);
      });
      expect(readdirSync(join(source.upper.path, 'd'))).toHaveLength(3);
      expect(names(source)).toEqual(['./', 'd/', 'd/link']);
    });

    it('writes an edit that neither size nor time betrays, and a new time over the same content', () => {
      const base = layer('base', (path) => {
        for (const name of ['edited', 'touched', 'same']) {
          writeFileSync(join(path, name), 'a'.repeat(2_000_000));
          utimesSync(join(path, name), 1000, 1000);
        }
      });
      const source = edited(base, (path) => {
        writeFileSync(join(path, 'edited'), `${'a'.repeat(1_999_999)}b`);
        utimesSync(join(path, 'edited'), 1000, 1000);
        utimesSync(join(path, 'touched'), 1001, 1001);
        writeFileSync(join(path, 'same'), 'a'.repeat(2_000_000));
        utimesSync(join(path, 'same'), 1000, 1000);
      });
      expect(names(source)).toEqual(['./', 'edited', 'touched']);
    });

    it('writes names of one inode as hard links to the first, and never to a file of a lower layer', () => {
      const base = layer('base', (path) => writeFileSync(join(path, 'm'), 'content'));
      const source = edited(base, (path) => {
        linkSync(join(path, 'm'), join(path, 'z'));
        linkSync(join(path, 'm'), join(path, 'a'));
      });
      const written = members(source);
      expect([...written.keys()]).toEqual(['./', 'a', 'm', 'z']);
      expect(written.get('a')).toMatchObject({ content: 'content', entry: { type: 'file' } });
      for (const name of ['m', 'z'])
        expect(written.get(name)?.entry).toMatchObject({ type: 'hardlink', linkName: Buffer.from('a') });
    });

    it('writes a renamed directory in full where it replaces another', () => {
      const base = layer('base', (path) => {
        for (const name of ['from', 'to']) mkdirSync(join(path, name));
        for (const name of ['from/kept', 'from/gone', 'to/old']) writeFileSync(join(path, name), name);
      });
      const edit = (path: string) => {
        rmSync(join(path, 'to'), { recursive: true });
        rmSync(join(path, 'from/gone'));
        renameSync(join(path, 'from'), join(path, 'to'));
      };
      const upper = editedLayer(directory, 'upper', [base], edit, ',redirect_dir=on');
      expect(names({ upper, lowers: [base] })).toEqual(['./', '.wh.from', 'to/', 'to/.wh..wh..opq', 'to/kept']);
    });

    it('leaves sockets out; one that takes the place of a file deletes it', () => {
      const base = layer('base', (path) => writeFileSync(join(path, 'file'), ''));
      const source = edited(base, (path) => {
        rmSync(join(path, 'file'));
        for (const name of ['file', 'fresh'])
          nativeSyscalls().mknodat(AT_FDCWD, join(path, name), S_IFSOCK | 0o700, 0, 0);
      });
      expect(names(source)).toEqual(['./', '.wh.file']);
    });

    it('is empty for a container in which nothing happened, whatever the time of the new root', () => {
      const base = layer('base', (path) => writeFileSync(join(path, 'file'), ''));
      utimesSync(base.path, 1, 1);
      expect(names(edited(base, () => undefined))).toEqual([]);
    });

    it('keeps file capabilities and other attributes, but none of the overlay or the host', () => {
      const capability = Buffer.from('010000030004000000000000000000000000000010270000', 'hex');
      const base = layer('base');
      const upper = layer('upper', (path) => {
        writeFileSync(join(path, 'file'), '');
        const kernel = nativeSyscalls();
        kernel.setXattr(join(path, 'file'), 'security.capability', capability);
        kernel.setXattr(join(path, 'file'), 'security.selinux', Buffer.from('system_u:object_r:container_file_t:s0\0'));
        kernel.setXattr(join(path, 'file'), 'trusted.overlay.origin', Buffer.from('x'));
        kernel.setXattr(join(path, 'file'), 'user.overlay.origin', Buffer.from('x'));
        kernel.setXattr(join(path, 'file'), 'trusted.kept', Buffer.from([0, 255, 61, 10]));
      });
      expect(members({ upper, lowers: [base] }).get('file')?.entry.xattrs).toEqual([
        { name: Buffer.from('security.capability'), value: capability },
        { name: Buffer.from('trusted.kept'), value: Buffer.from([0, 255, 61, 10]) },
      ]);
    });

    it('refuses a device that would be a whiteout, but exports it', () => {
      const upper = layer(
        'upper',
        (path) => nativeSyscalls().mknodat(AT_FDCWD, join(path, 'null'), S_IFCHR, 0, 0),
        'complete',
      );
      expect(() => drain({ upper, lowers: [] })).toThrow(failure('ERR_NOT_SUPPORTED', '/null'));
      using reader = new TarReader(writeTree(upper.path));
      expect(reader.next()?.name.toString()).toBe('./');
      expect(reader.next()).toMatchObject({ type: 'character', name: Buffer.from('null') });
    });
  },
);

describe('writeDiff', () => {
  it('writes a base layer with its root', () => {
    const upper = layer('upper', (path) => {
      mkdirSync(join(path, 'b'));
      writeFileSync(join(path, 'b/file'), 'content');
      writeFileSync(join(path, 'b.c'), '');
    });
    chmodSync(upper.path, 0o711);
    const written = members({ upper, lowers: [] });
    expect([...written.keys()]).toEqual(['./', 'b/', 'b/file', 'b.c']);
    expect(written.get('./')?.entry.mode).toBe(0o711);
    expect(written.get('b/file')?.content).toBe('content');
  });

  it('keeps nanoseconds, or rounds down to seconds without PAX headers', () => {
    const upper = layer('upper', (path) => writeFileSync(join(path, 'file'), ''));
    const times = [1_700_000_000_123_456_789n, -1n] as const;
    for (const time of times) {
      nativeSyscalls().utimensat(AT_FDCWD, join(upper.path, 'file'), time, time, 0);
      expect(members({ upper, lowers: [] }).get('file')?.entry.modifiedNs).toBe(time);
    }
    expect(members({ upper, lowers: [] }, { timestamps: 'seconds' }).get('file')?.entry.modifiedNs).toBe(
      -1_000_000_000n,
    );
  });

  it('turns the whiteouts of an aufs layer into those of its archive, once each', () => {
    const base = layer('base', (path) => {
      mkdirSync(join(path, 'd'));
      for (const name of ['gone', 'd/old']) writeFileSync(join(path, name), '');
    });
    const upper = layer(
      'upper',
      (path) => {
        mkdirSync(join(path, 'd'));
        mkdirSync(join(path, '.wh..wh.plnk'));
        for (const name of ['.wh.gone', '.wh.never', '.wh..wh.aufs', 'd/.wh..wh..opq', 'd/new'])
          writeFileSync(join(path, name), '');
      },
      'aufs',
    );
    expect(names({ upper, lowers: [base] })).toEqual(['./', 'd/', 'd/.wh..wh..opq', 'd/new', '.wh.gone']);
  });

  it.each(['overlay', 'complete'] as const)(
    'writes files of an %s tree whose names share inodes in another way than below',
    (dialect) => {
      const group = (path: string, ...names: string[]) => {
        const [first = ''] = names;
        writeFileSync(join(path, first), 'same');
        utimesSync(join(path, first), 1, 1);
        for (const name of names.slice(1)) linkSync(join(path, first), join(path, name));
      };
      const make = (name: string, ...groups: string[][]) =>
        layer(name, (path) => groups.forEach((names) => group(path, ...names)), dialect);
      const quartet = make('quartet', ['a', 'b', 'c', 'd']);
      const files = (upper: LayerTree) => names({ upper, lowers: [quartet] }).slice(1);
      expect(files(make('same', ['a', 'b', 'c', 'd']))).toEqual([]);
      expect(files(make('split', ['a', 'b'], ['c', 'd']))).toEqual(['a', 'b', 'c', 'd']);
      expect(files(make('joined', ['a', 'b', 'c', 'd', 'e']))).toEqual(['a', 'b', 'c', 'd', 'e']);
      const fewer = make('fewer', ['a', 'b']);
      // A complete tree says that c and d are gone; an overlay still shows them, as names of the lower inode.
      expect(files(fewer)).toEqual(dialect === 'complete' ? ['.wh.c', '.wh.d'] : ['a', 'b']);
    },
  );

  it.each(['.wh.file', '.wh..wh..opq'])('refuses the name %s, which would delete something', (name) => {
    const upper = layer('upper', (path) => writeFileSync(join(path, name), ''));
    expect(() => drain({ upper, lowers: [] })).toThrow(failure('ERR_NOT_SUPPORTED', name));
  });

  it('exports names that would delete something in a layer', () => {
    const tree = layer('tree', (path) => writeFileSync(join(path, '.wh.file'), ''));
    using reader = new TarReader(writeTree(tree.path));
    reader.next();
    expect(reader.next()?.name.toString()).toBe('.wh.file');
  });

  it('fails when a file becomes shorter while it is read, instead of filling up or leaving out', () => {
    const upper = layer('upper', (path) => writeFileSync(join(path, 'shrinks'), Buffer.alloc(3_000_000)));
    expect(() => {
      for (const chunk of writeDiff({ upper, lowers: [] })) {
        expect(chunk.length).toBeGreaterThan(0);
        truncateSync(join(upper.path, 'shrinks'), 1_500_000);
      }
    }).toThrow(failure('ERR_IO', 'shrinks'));
  });

  it('takes no byte more of a file that grows while it is read', () => {
    const upper = layer('upper', (path) => writeFileSync(join(path, 'grows'), 'a'.repeat(3_000_000)));
    const parts: Buffer[] = [];
    for (const chunk of writeDiff({ upper, lowers: [] })) {
      parts.push(Buffer.from(chunk));
      writeFileSync(join(upper.path, 'grows'), 'b', { flag: 'a' });
    }
    using reader = new TarReader(parts);
    reader.next();
    expect(reader.next()?.size).toBe(3_000_000);
    let content = '';
    for (const { data } of reader.payload()) content += data.toString();
    expect(content).toBe('a'.repeat(3_000_000));
    expect(reader.next()).toBeUndefined();
  });

  it('does not follow a directory that is swapped for a symlink while it writes', () => {
    const outside = layer('outside', (path) => {
      mkdirSync(join(path, 'c'));
      writeFileSync(join(path, 'c/secret'), 'HOST FILE WAS READ');
    });
    const upper = layer('upper', (path) => {
      mkdirSync(join(path, 'b/c'), { recursive: true });
      writeFileSync(join(path, 'b/a'), Buffer.alloc(3_000_000));
      writeFileSync(join(path, 'b/c/secret'), 'own');
    });
    const parts: string[] = [];
    expect(() => {
      for (const chunk of writeDiff({ upper, lowers: [] })) {
        if (parts.push(chunk.toString('latin1')) > 1) continue;
        renameSync(join(upper.path, 'b'), join(upper.path, 'moved'));
        symlinkSync(outside.path, join(upper.path, 'b'));
      }
    }).toThrow(failure('ERR_IO', 'b/c'));
    expect(parts.join('')).not.toContain('HOST FILE WAS READ');
  });

  it('leaves out directories that lead to nothing, before and after those that do', () => {
    const make = (name: string, content: string) =>
      layer(name, (path) => {
        for (const child of ['a/a', 'b', 'c/c']) mkdirSync(join(path, child), { recursive: true });
        writeFileSync(join(path, 'b/file'), content);
        for (const child of ['a/a', 'a', 'b', 'c/c', 'c']) utimesSync(join(path, child), 1, 1);
      });
    expect(names({ upper: make('upper', 'new!'), lowers: [make('base', 'old')] })).toEqual(['./', 'b/', 'b/file']);
  });

  it('states a limit for trees that are deeper than any path', () => {
    const upper = layer('upper');
    let deep = upper.path;
    const name = 'd'.repeat(250);
    for (let depth = 0; depth < 17; depth += 1) {
      // Renames build a tree from below that no path reaches.
      const parent = mkdtempSync(join(directory, 'deep-'));
      if (depth > 0) renameSync(deep, join(parent, name));
      deep = parent;
    }
    renameSync(deep, join(upper.path, name));
    expect(() => drain({ upper, lowers: [] })).toThrow(failure('ERR_LIMIT_EXCEEDED', '4095'));
    rmDeep(upper.path, name);
  });

  it('closes every file when the reader stops early', () => {
    const upper = layer('upper', (path) => writeFileSync(join(path, 'file'), Buffer.alloc(3_000_000)));
    const before = readdirSync('/proc/self/fd').length;
    for (const chunk of writeDiff({ upper, lowers: [] })) {
      expect(chunk.length).toBeGreaterThan(0);
      break;
    }
    expect(readdirSync('/proc/self/fd').length).toBe(before);
  });

  it('names the layer that is missing', () => {
    const upper = layer('upper');
    const missing: LayerTree = { path: join(directory, 'missing'), dialect: 'overlay' };
    expect(() => drain({ upper: missing, lowers: [] })).toThrow(failure('ERR_IO', 'missing'));
    expect(() => drain({ upper, lowers: [missing] })).toThrow(failure('ERR_IO', 'missing'));
  });
});

/** Removes a tree that is too deep for paths, level by level from the top. */
function rmDeep(top: string, name: string): void {
  for (let level = 0; ; level += 1) {
    const next = join(directory, `level-${level}`);
    try {
      renameSync(join(top, name), next);
    } catch {
      return;
    }
    top = next;
  }
}
