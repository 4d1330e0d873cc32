import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AT_FDCWD, nativeSyscalls, S_IFCHR } from '@layerstore/linux';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { describeEntry, listTree } from '../apply/testing/tree-listing.js';
import type { LayerTree } from '../layer-tree.js';
import { isDirectory } from './file-kind.js';
import { editedLayer, withView } from './testing/overlay-view.js';
import { joinPath, ROOT } from './paths.js';
import { randomEdits } from './testing/random-edits.js';
import { LayerStack } from './stack.js';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'layerstore-stack-'));
});

afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

const marks = /^(trusted|user)\.overlay\./;

/** What the stack shows, in the form of {@link listTree}; content is read where the stack says that it lies. */
function listStack(trees: readonly LayerTree[]): Record<string, string> {
  using stack = new LayerStack(trees);
  const lines: Record<string, string> = {};
  const visit = (path: Buffer): void => {
    const entry = stack.lookup(path);
    if (entry === undefined) return;
    const shown = path.length === 0 ? '.' : path.toString('latin1');
    const parts = describeEntry(entry.path, entry.status, { withoutXattrs: marks });
    if (parts[0] === 'file') {
      const content = stack.content(path);
      if (content !== undefined) parts[4] = describeEntry(content.path, content.status)[4] ?? '';
    }
    lines[shown] = parts.join(' ');
    if (isDirectory(entry.status)) for (const name of stack.names(path)) visit(joinPath(path, name));
  };
  visit(ROOT);
  return lines;
}

function listView(trees: readonly LayerTree[], options = ''): Record<string, string> {
  const listing = withView(trees, join(directory, 'view'), (path) => listTree(path, { withoutXattrs: marks }), options);
  return Object.fromEntries(
    Object.entries(listing).map(([path, line]) => [path, line.replace(/ same file as [^]*$/, '')]),
  );
}

function layer(name: string, dialect: LayerTree['dialect'], make: (path: string) => void): LayerTree {
  const path = join(directory, name);
  mkdirSync(path);
  make(path);
  return { path, dialect };
}

function look(trees: readonly LayerTree[], path: string): string | undefined {
  using stack = new LayerStack(trees);
  return stack
    .lookup(Buffer.from(path))
    ?.path.toString()
    .slice(directory.length + 1);
}

describe.skipIf(process.getuid?.() !== 0)('LayerStack against the kernel (needs root: mounts overlays)', () => {
  it.each([
    ['plain copy-up', ''],
    ['redirected directories and attributes without content', ',redirect_dir=on,metacopy=on'],
  ])('shows what the mounted stack shows: %s', (_name, options) => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 5, max: 40 }), fc.integer({ min: 1, max: 3 }), (seed, steps, uppers) => {
        const run = mkdtempSync(join(directory, 'run-'));
        let trees: LayerTree[] = [{ path: join(run, 'base'), dialect: 'overlay' }];
        mkdirSync(join(run, 'base'));
        randomEdits(join(run, 'base'), seed, steps);
        for (let count = 0; count < uppers; count += 1) {
          const edit = (path: string) => randomEdits(path, seed + 1 + count, steps / 2);
          trees = [editedLayer(run, `layer-${count}`, trees, edit, options), ...trees];
        }
        expect(listStack(trees)).toEqual(listView(trees, options));
        rmSync(run, { recursive: true });
      }),
      { numRuns: 25 },
    );
  });

  it('obeys whiteouts that are attributes of empty files', () => {
    const kernel = nativeSyscalls();
    const base = layer('base', 'overlay', (path) => {
      mkdirSync(join(path, 'd'));
      for (const name of ['hidden', 'kept', 'emptied']) writeFileSync(join(path, 'd', name), 'base');
    });
    const middle = layer('middle', 'overlay', (path) => {
      mkdirSync(join(path, 'd'));
      kernel.setXattr(join(path, 'd'), 'trusted.overlay.opaque', Buffer.from('x'));
      for (const name of ['hidden', 'emptied']) writeFileSync(join(path, 'd', name), '');
      kernel.setXattr(join(path, 'd', 'hidden'), 'trusted.overlay.whiteout', Buffer.from('y'));
    });
    const top = layer('top', 'overlay', (path) => mkdirSync(join(path, 'd')));
    const trees = [top, middle, base];
    const listing = listStack(trees);
    expect(listing).toEqual(listView(trees));
    expect(Object.keys(listing)).toEqual(['.', 'd', 'd/emptied', 'd/kept']);
  });

  it('treats a directory in the user namespace of attributes like one of root', () => {
    const base = layer('base', 'overlay', (path) => {
      mkdirSync(join(path, 'd'));
      writeFileSync(join(path, 'd', 'old'), '');
    });
    const top = layer('top', 'overlay', (path) => {
      mkdirSync(join(path, 'd'));
      nativeSyscalls().setXattr(join(path, 'd'), 'user.overlay.opaque', Buffer.from('y'));
    });
    expect(Object.keys(listStack([top, base]))).toEqual(['.', 'd']);
    expect(Object.keys(listView([top, base], ',userxattr'))).toEqual(['.', 'd']);
  });

  it('lets a redirect out of the layer neither upwards nor sideways', () => {
    const base = layer('base', 'overlay', (path) => mkdirSync(join(path, 'd')));
    for (const redirect of ['../d', '/d/../../d', '', 'a/b']) {
      const top = layer(`top-${Buffer.from(redirect).toString('hex')}`, 'overlay', (path) => {
        mkdirSync(join(path, 'moved'));
        nativeSyscalls().setXattr(join(path, 'moved'), 'trusted.overlay.redirect', Buffer.from(redirect));
      });
      expect(() => look([top, base], 'moved')).toThrow(expect.objectContaining({ code: 'ERR_STORE_DAMAGED' }) as Error);
    }
  });

  it('says which file lost the layer that holds its content', () => {
    const base = layer('base', 'overlay', () => undefined);
    const top = layer('top', 'overlay', (path) => {
      writeFileSync(join(path, 'file'), 'attributes only');
      nativeSyscalls().setXattr(join(path, 'file'), 'trusted.overlay.metacopy', Buffer.alloc(0));
    });
    using stack = new LayerStack([top, base]);
    expect(() => stack.content(Buffer.from('file'))).toThrow(
      expect.objectContaining({
        code: 'ERR_STORE_DAMAGED',
        message: expect.stringContaining('top/file') as string,
      }) as Error,
    );
  });

  it('finds nothing below a whiteout device', () => {
    const base = layer('base', 'overlay', (path) => {
      mkdirSync(join(path, 'd'));
      writeFileSync(join(path, 'd', 'file'), '');
    });
    const top = layer('top', 'overlay', (path) => nativeSyscalls().mknodat(AT_FDCWD, join(path, 'd'), S_IFCHR, 0, 0));
    expect(look([top, base], 'd')).toBeUndefined();
    expect(look([top, base], 'd/file')).toBeUndefined();
    expect(look([base], 'd/file')).toBe('base/d/file');
  });
});

describe('LayerStack', () => {
  it('reads aufs layers: whiteouts, opaque directories, bookkeeping, and hides a name beside its own whiteout, as aufs does', () => {
    const base = layer('base', 'aufs', (path) => {
      for (const name of ['gone', 'opaque', 'beside', 'merged']) {
        mkdirSync(join(path, name));
        writeFileSync(join(path, name, 'old'), '');
      }
      writeFileSync(join(path, '.wh..wh.aufs'), '');
    });
    const top = layer('top', 'aufs', (path) => {
      writeFileSync(join(path, '.wh.gone'), '');
      writeFileSync(join(path, '.wh.beside'), '');
      mkdirSync(join(path, '.wh..wh.plnk'));
      for (const name of ['opaque', 'beside', 'merged']) {
        mkdirSync(join(path, name));
        writeFileSync(join(path, name, 'new'), '');
      }
      writeFileSync(join(path, 'opaque', '.wh..wh..opq'), '');
    });
    expect(Object.keys(listStack([top, base]))).toEqual([
      '.',
      'merged',
      'merged/new',
      'merged/old',
      'opaque',
      'opaque/new',
    ]);
    expect(look([top, base], '.wh.gone')).toBeUndefined();
    expect(look([top, base], `/${'n'.repeat(255)}`)).toBeUndefined();
  });

  it('lets a file between two directories separate them', () => {
    const directoryLayer = (name: string) =>
      layer(name, 'aufs', (path) => {
        mkdirSync(join(path, 'd'));
        writeFileSync(join(path, 'd', name), '');
      });
    const file = layer('file', 'aufs', (path) => writeFileSync(join(path, 'd'), ''));
    const trees = [directoryLayer('upper'), file, directoryLayer('lower')];
    expect(look(trees, 'd/upper')).toBe('upper/d/upper');
    expect(look(trees, 'd/lower')).toBeUndefined();
  });

  it('looks at nothing below a complete tree', () => {
    const base = layer('base', 'overlay', (path) => writeFileSync(join(path, 'old'), ''));
    const top = layer('top', 'complete', (path) => writeFileSync(join(path, 'new'), ''));
    expect(look([top, base], 'new')).toBe('top/new');
    expect(look([top, base], 'old')).toBeUndefined();
  });

  it('never follows a symlink, neither in the middle nor at the end', () => {
    const base = layer('base', 'overlay', (path) => {
      symlinkSync('/etc', join(path, 'link'));
      symlinkSync('/etc/passwd', join(path, 'file'));
    });
    expect(look([base], 'link/passwd')).toBeUndefined();
    expect(look([base], 'file')).toBe('base/file');
  });

  it('ignores slashes at the ends of a path and between its components', () => {
    const base = layer('base', 'overlay', (path) => {
      mkdirSync(join(path, 'd'));
      writeFileSync(join(path, 'd', 'file'), '');
    });
    for (const path of ['d/file', '/d/file', '//d///file/']) expect(look([base], path)).toBe('base/d/file');
    expect(look([base], '/')).toBe('base');
    expect(look([], '/')).toBeUndefined();
  });

  it('closes what it opened, also when a layer is missing', () => {
    const base = layer('base', 'overlay', () => undefined);
    const openFiles = () => readdirSync('/proc/self/fd').length;
    const before = openFiles();
    const make = () => new LayerStack([base, { path: join(directory, 'missing'), dialect: 'overlay' }]);
    expect(make).toThrow(expect.objectContaining({ code: 'ERR_IO' }) as Error);
    look([base], 'nothing');
    expect(openFiles()).toBe(before);
  });
});
