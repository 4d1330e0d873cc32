/** Equality with the real dockerd is in test/compat/dockerd-homes.test.ts; here is what that cannot show. */
import { linkSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AT_FDCWD, nativeSyscalls, S_IFCHR, S_IFSOCK } from '@layerstore/linux';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { DiffSource, LayerTree } from '../../layer-tree.js';
import type { TarEntry } from '../../tar/entry.js';
import { TarReader } from '../../tar/reader.js';
import { writeDockerDiff, type DockerDiffOptions } from './write-docker-diff.js';

const isRoot = process.geteuid?.() === 0;

describe('writeDockerDiff', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'layerstore-docker-diff-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const tree = (name: string, dialect: LayerTree['dialect'], files: readonly string[]): LayerTree => {
    const path = join(directory, name);
    mkdirSync(path);
    for (const file of files) {
      mkdirSync(join(path, file, '..'), { recursive: true });
      writeFileSync(join(path, file), file);
      utimesSync(join(path, file), 1_700_000_000, 1_700_000_000);
    }
    return { path, dialect };
  };
  const entries = (source: DiffSource, options?: DockerDiffOptions): TarEntry[] => {
    using reader = new TarReader(writeDockerDiff(source, options));
    const found: TarEntry[] = [];
    for (let entry = reader.next(); entry !== undefined; entry = reader.next()) found.push(entry);
    return found;
  };
  const names = (source: DiffSource): string[] => entries(source).map(({ name }) => name.toString());

  test('sorts compared trees by whole paths, and writes the parents of what changed', () => {
    const upper = tree('upper', 'complete', ['a/x', 'a-b', 'same/file', 'deep/in/new', 'deep/old']);
    const lower = tree('lower', 'complete', ['same/file', 'deep/old', 'gone/file', 'deep/in/gone']);
    expect(names({ upper, lowers: [lower] })).toEqual([
      'a/',
      'a-b',
      'a/x',
      'deep/',
      'deep/in/',
      'deep/in/.wh.gone',
      'deep/in/new',
      '.wh.gone',
    ]);
  });

  test('does not see, as Docker does not, an edit that keeps size and second', () => {
    const upper = tree('upper', 'complete', ['file']);
    const lower = tree('lower', 'complete', ['file']);
    writeFileSync(join(upper.path, 'file'), 'edit');
    utimesSync(join(upper.path, 'file'), 1_700_000_000, 1_700_000_000.5);
    expect(names({ upper, lowers: [lower] })).toEqual([]);
    utimesSync(join(lower.path, 'file'), 1_700_000_000, 1_700_000_000.25);
    expect(names({ upper, lowers: [lower] })).toEqual(['file']);
  });

  test.runIf(isRoot).each(['trusted', 'user'])(
    'writes an opaque marker for a mark of %s mounts (needs root)',
    (family) => {
      const upper = tree('upper', 'overlay', ['d/file']);
      nativeSyscalls().setXattr(join(upper.path, 'd'), `${family}.overlay.opaque`, Buffer.from('y'));
      expect(names({ upper, lowers: [] })).toEqual(['d/', 'd/.wh..wh..opq', 'd/file']);
    },
  );

  test('leaves out the bookkeeping of aufs in the root, and nothing else', () => {
    const files = ['.wh..wh.aufs', '.wh..wh.plnk/1', '.wh..wh..opq', '.wh.gone', 'd/.wh..wh..opq', 'd/.wh..wh.x', 'f'];
    expect(names({ upper: tree('upper', 'aufs', files), lowers: [] })).toEqual([
      '.wh..wh..opq',
      '.wh.gone',
      'd/',
      'd/.wh..wh..opq',
      'd/.wh..wh.x',
      'f',
    ]);
  });

  test('leaves out sockets, and writes a second name as a link to the first', () => {
    const upper = tree('upper', 'complete', ['file']);
    linkSync(join(upper.path, 'file'), join(upper.path, 'name'));
    nativeSyscalls().mknodat(AT_FDCWD, join(upper.path, 'socket'), S_IFSOCK | 0o600, 0, 0);
    const found = entries({ upper, lowers: [] });
    expect(found.map(({ type, name, linkName }) => `${type} ${name.toString()} ${linkName.toString()}`)).toEqual([
      'file file ',
      'hardlink name file',
    ]);
  });

  test.skipIf(!isRoot)('turns owners back into those of the container, but for whiteouts (needs root)', () => {
    const upper = tree('upper', 'overlay', ['file']);
    const sys = nativeSyscalls();
    sys.fchownat(AT_FDCWD, join(upper.path, 'file'), 100_005, 200_006, 0);
    sys.mknodat(AT_FDCWD, join(upper.path, 'gone'), S_IFCHR, 0, 0);
    const idMaps = {
      uids: [{ container: 0, host: 100_000, size: 10 }],
      gids: [{ container: 0, host: 200_000, size: 10 }],
    };
    const found = entries({ upper: { ...upper, idMaps }, lowers: [] });
    expect(found.map(({ name, uid, gid }) => [name.toString(), uid, gid])).toEqual([
      ['file', 5, 6],
      ['.wh.gone', 0, 0],
    ]);
    sys.fchownat(AT_FDCWD, join(upper.path, 'file'), 5, 6, 0);
    expect(() => entries({ upper: { ...upper, idMaps }, lowers: [] })).toThrow(
      expect.objectContaining({ code: 'ERR_ID_NOT_MAPPED' }),
    );
  });

  test.skipIf(!isRoot)("writes the names of the host's accounts only when asked to (needs root)", () => {
    const source = { upper: tree('upper', 'complete', ['file']), lowers: [] };
    const account = (options?: DockerDiffOptions): string[] =>
      entries(source, options).map(({ userName, groupName }) => `${userName.toString()}:${groupName.toString()}`);
    expect(account()).toEqual(['root:root']);
    expect(account({ names: 'none' })).toEqual([':']);
  });
});
