import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  mkdirSync,
} from 'node:fs';
import { join } from 'node:path';
import { ArchiveWorkers } from '@layerstore/archive';
import { parseLayerId, type LayerId } from '@layerstore/core';
import { Mounter, mountsBelow, readMountTable, removeTree } from '@layerstore/linux';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { treeFacts } from '../conformance/tree-facts.js';
import type { GraphDriver } from '../driver.js';
import { layerDiffs } from '../layer-diffs.js';
import { openDriver } from '../registry.js';
import { LayerViews } from '../views/layer-views.js';
import { recordsStarts } from './start-recording.js';
import {
  opaque,
  TestRepository,
  type LayerContent,
  thinJson,
  whiteout,
  writeLayer,
  type ListedLayer,
} from './testing/test-repository.js';

const [thin, second, middle, box] = ['thin', 'second', 'middle', 'box'].map((name) => parseLayerId(name)) as [
  LayerId,
  LayerId,
  LayerId,
  LayerId,
];

const ways = [
  ['aufs', 'fsopen'],
  ['aufs', 'mount'],
  ['overlay2', 'fsopen'],
  ['overlay2', 'mount'],
  ['overlay2', 'fuse-overlayfs'],
] as const;

describe.skipIf(process.geteuid?.() !== 0).each(ways)('thin images over %s by %s (needs root)', (name, method) => {
  let directory: string;
  let home: string;
  let repository: TestRepository;
  let driver: GraphDriver;
  let views: LayerViews;
  const mounter = new Mounter({ method });
  const workers = new ArchiveWorkers({ threads: 1 });
  afterAll(() => workers[Symbol.asyncDispose]());
  const open = (storageOptions: Record<string, string> = repository.options): Promise<GraphDriver> =>
    openDriver(name, home, { mounter, workers, storageOptions });
  beforeEach(async () => {
    directory = realpathSync(mkdtempSync('/dev/shm/layerstore-thin-'));
    home = join(directory, 'home');
    repository = new TestRepository(directory);
    driver = await open();
    views = new LayerViews(driver, mounter);
  });
  afterEach(async () => {
    for (const entry of mountsBelow(readMountTable(), directory).reverse()) await mounter.unmount(entry.mountPoint);
    removeTree(directory);
  });

  /** Makes a layer as an engine does from an archive. */
  const make = async (id: LayerId, parent: LayerId | undefined, write: (path: string) => void): Promise<void> => {
    await driver.create(id, parent === undefined ? {} : { parent });
    write((await driver.applyTarget(id)).tree.path);
    await driver.finishApply(id);
  };
  const makeThin = (id: LayerId, layers: readonly ListedLayer[], parent?: LayerId): Promise<void> =>
    make(id, parent, (path) => writeFileSync(join(path, 'thin.json'), thinJson(layers)));
  const shown = async (id: LayerId, options = {}): Promise<string[]> => {
    await using lease = await views.lease(id, options);
    return Object.keys(treeFacts(lease.path))
      .filter((path) => path !== '/')
      .sort();
  };
  const files = async (id: LayerId): Promise<Record<string, string>> => {
    await using lease = await views.lease(id);
    const names = Object.keys(treeFacts(lease.path)).filter((path) => path.includes('file'));
    return Object.fromEntries(names.map((path) => [path, readFileSync(join(lease.path, path), 'utf8')]));
  };
  const changes = async (id: LayerId, parent: LayerId | undefined): Promise<string[]> =>
    (await layerDiffs(driver, { workers, mounter }).changes(id, parent)).map(
      ({ kind, path }) => `${kind} ${path.toString()}`,
    );
  const uses = (): string[] => {
    const path = join(home, '.layerstore', 'thin', 'uses');
    return existsSync(path) ? readdirSync(path).sort() : [];
  };

  test('a container shows what the thin layer names, in its order, and not the list itself', async () => {
    const layers = [
      repository.publish('base', { 'etc/file': 'base', 'usr/file-of-base': 'b' }),
      repository.publish('app', { 'etc/file': 'app', 'opt/file': 'a' }),
    ];
    await makeThin(thin, layers);
    await driver.createReadWrite(box, { parent: thin });
    expect(await files(box)).toEqual({ '/etc/file': 'app', '/usr/file-of-base': 'b', '/opt/file': 'a' });
    expect(await shown(box)).not.toContain('/thin.json');
  });

  test('the thin layer itself shows its thin.json only, as engines save and push it', async () => {
    await makeThin(thin, [repository.publish('base', { file: 'base' })]);
    expect(await shown(thin)).toEqual(['/thin.json']);
    expect(await changes(thin, undefined)).toEqual(['add /thin.json']);
  });

  test('a thin layer over another shows its own list over what lies below it', async () => {
    const [one, two] = [repository.publish('1', { 'file-1': '1' }), repository.publish('2', { 'file-2': '2' })];
    await makeThin(thin, [one]);
    await makeThin(second, [one, two], thin);
    expect(await shown(second, { readOnly: true })).toEqual(['/file-1', '/thin.json']);
  });

  test('a list may repeat that of its parent; an ordinary layer between two thin ones keeps its place', async () => {
    const one = repository.publish('1', { 'file-1': '1', 'a/file': 'one', 'b/file': 'one' });
    const two = repository.publish('2', { 'file-2': '2', 'b/file': 'two', 'c/file': 'two' });
    await makeThin(thin, [one]);
    await make(middle, thin, (path) => writeLayer(path, { 'a/file': 'middle', 'c/file': 'middle', 'file-m': 'm' }));
    await makeThin(second, [one, two], middle);
    await driver.createReadWrite(box, { parent: second });
    expect(await files(box)).toEqual({
      '/a/file': 'middle',
      '/b/file': 'two',
      '/c/file': 'two',
      '/file-1': '1',
      '/file-2': '2',
      '/file-m': 'm',
    });
  });

  describe('what is deleted stays deleted', () => {
    const base = { 'd/file-1': '1', 'd/file-2': '2', 'o/file-old': 'old', 'o/sub/file': 'old', 'gone/file': 'x' };
    const deletions = {
      'as files': { 'd/.wh.file-1': '', 'o/.wh..wh..opq': '', 'o/file-new': 'new', '.wh.gone': '' },
      'as devices': { 'd/file-1': whiteout, 'o/file-new': 'new', 'o/': opaque, gone: whiteout },
    } as const;
    const expected = { '/d/file-2': '2', '/o/file-new': 'new' };

    test.each(['as files', 'as devices'] as const)('by a layer of the repository with whiteouts %s', async (form) => {
      await makeThin(thin, [repository.publish('base', base), repository.publish('top', deletions[form])]);
      await driver.createReadWrite(box, { parent: thin });
      expect(await files(box)).toEqual(expected);
      expect(await shown(box)).toEqual(['/d', '/d/file-2', '/o', '/o/file-new']);
    });

    test('with both forms in one stack, above and below an ordinary layer', async () => {
      const layers = [
        repository.publish('base', base),
        repository.publish('one', { 'd/.wh.file-1': '', '.wh.gone': '' }),
        repository.publish('two', { 'o/': opaque, 'o/file-new': 'new', 'd/file-3': '3' }),
        repository.publish('three', { 'd/.wh.file-3': '', 'd/file-1': 'again', 'gone/file-back': 'x' }),
        repository.publish('four', { 'd/file-1': whiteout }),
      ];
      await makeThin(thin, layers.slice(0, 2));
      await make(middle, thin, (path) => writeLayer(path, { 'm/file': 'm' }));
      await makeThin(second, layers, middle);
      await driver.createReadWrite(box, { parent: second });
      expect(await files(box)).toEqual({ ...expected, '/gone/file-back': 'x', '/m/file': 'm' });
    });

    test.each(['as files', 'as devices'] as const)(
      'by a layer in %s over an ordinary one, down to its root',
      async (form) => {
        await make(middle, undefined, (path) => writeLayer(path, base));
        await makeThin(thin, [repository.publish('top', deletions[form])], middle);
        await driver.createReadWrite(box, { parent: thin });
        expect(await files(box)).toEqual(expected);
        const root: LayerContent =
          form === 'as files' ? { '.wh..wh..opq': '', 'file-only': '1' } : { 'file-only': '1', '/': opaque };
        await makeThin(second, [repository.publish(`root ${form}`, root)], thin);
        const other = parseLayerId('other');
        await driver.createReadWrite(other, { parent: second });
        expect(await shown(other)).toEqual(['/file-only']);
      },
    );

    test('by a container, in it and in the layer that is made of it', async () => {
      await makeThin(thin, [repository.publish('base', base)]);
      await driver.createReadWrite(box, { parent: thin });
      const path = await views.get(box);
      rmSync(join(path, 'd/file-1'));
      rmSync(join(path, 'o'), { recursive: true });
      mkdirSync(join(path, 'o'));
      writeFileSync(join(path, 'o/file-new'), 'new');
      rmSync(join(path, 'gone'), { recursive: true });
      await views.put(box);
      expect(await files(box)).toEqual(expected);
      const told = [
        'modify /d',
        'delete /d/file-1',
        'delete /gone',
        'modify /o',
        'delete /o/file-old',
        'add /o/file-new',
        'delete /o/sub',
      ];
      expect((await changes(box, thin)).sort()).toEqual(told.sort());

      const diffs = layerDiffs(driver, { workers, mounter });
      const tar = join(directory, 'layer.tar');
      await diffs.diff(box, thin, { path: tar });
      await driver.create(second, { parent: thin });
      await diffs.applyDiff(second, { path: tar });
      const other = parseLayerId('other');
      await driver.createReadWrite(other, { parent: second });
      expect(await files(other)).toEqual(expected);
      expect(await changes(other, second)).toEqual([]);
    });
  });

  test('changes and sizes of an ordinary layer are told against what its thin parent stands for', async () => {
    await makeThin(thin, [repository.publish('base', { 'etc/file': 'same', 'etc/file-2': '2' })]);
    await driver.createReadWrite(box, { parent: thin });
    const path = await views.get(box);
    writeFileSync(join(path, 'etc/file-2'), 'longer');
    writeFileSync(join(path, 'etc/file-3'), '3');
    expect(await changes(box, thin)).toEqual(['modify /etc', 'modify /etc/file-2', 'add /etc/file-3']);
    await views.put(box);
    expect(await changes(box, thin)).toEqual(['modify /etc', 'modify /etc/file-2', 'add /etc/file-3']);
    expect(await layerDiffs(driver, { workers, mounter }).diffSize(box, thin)).toBe(7);
    // Against nothing, all that is seen counts.
    expect(await changes(box, undefined)).toContain('add /etc/file');
    expect(uses()).toEqual([]);
  });

  test('a thin.json that a program writes into its container makes nothing thin, and is not made a layer', async () => {
    const layers = [repository.publish('secret', { 'file-secret': 's' })];
    await make(middle, undefined, (path) => writeLayer(path, { file: 'ordinary' }));
    await driver.createReadWrite(box, { parent: middle });
    const path = await views.get(box);
    writeFileSync(join(path, 'thin.json'), thinJson(layers));
    await views.put(box);
    expect(await shown(box)).toEqual(['/file', '/thin.json']);
    expect(await changes(box, middle)).toEqual(['add /thin.json']);
    const child = parseLayerId('child');
    await driver.createReadWrite(child, { parent: box });
    expect(await shown(child)).toEqual(['/file', '/thin.json']);
    const diffs = layerDiffs(driver, { workers, mounter });
    await expect(diffs.diff(box, middle, { path: join(directory, 'tar') })).rejects.toMatchObject({
      code: 'ERR_NOT_SUPPORTED',
      subject: box,
    });
  });

  test('a thin.json beside other files is an ordinary file', async () => {
    await make(thin, undefined, (path) => writeLayer(path, { 'thin.json': 'anything', file: '1' }));
    await driver.createReadWrite(box, { parent: thin });
    expect(await shown(box)).toEqual(['/file', '/thin.json']);
  });

  test.each([
    ['no list', 'anything', 'ERR_MALFORMED_THIN_LAYER'],
    ['an unknown version', thinJson([], { version: '7.0' }), 'ERR_UNSUPPORTED_FORMAT'],
    [
      'a way out',
      thinJson([{ digest: 'a'.repeat(64), url: 'cvmfs://images.example.org/../../etc' }]),
      'ERR_MALFORMED_THIN_LAYER',
    ],
  ])(
    'a layer whose sole file is a thin.json with %s is refused when it arrives, and above it',
    async (_what, text, code) => {
      await driver.create(thin);
      writeFileSync(join((await driver.applyTarget(thin)).tree.path, 'thin.json'), text);
      await expect(driver.finishApply(thin)).rejects.toMatchObject({ code });
      await expect(driver.create(box, { parent: thin })).rejects.toMatchObject({ code });
      expect(await driver.exists(box)).toBe(false);
    },
  );

  test('a thin layer of another repository than those with a key is refused where it would be shown', async () => {
    const stranger = new TestRepository(directory, 'other.example.com');
    const layer = stranger.publish('base', { file: '1' });
    rmSync(join(stranger.keys, 'other.example.com.pub'));
    await makeThin(thin, [layer]);
    await driver.createReadWrite(box, { parent: thin });
    await expect(views.get(box)).rejects.toMatchObject({
      code: 'ERR_REPOSITORY_NOT_CONFIGURED',
      subject: 'other.example.com',
    });
    expect(uses()).toEqual([]);
    mkdirSync(join(stranger.keys, 'example.com'));
    writeFileSync(join(stranger.keys, 'example.com', 'master.pub'), '');
    expect(await files(box)).toEqual({ '/file': '1' });
  });

  test('a layer that the repository does not have, or that leads out of it by a symlink, is refused', async () => {
    const layer = repository.publish('base', { file: '1' });
    const linked = { ...layer, url: `cvmfs://${repository.name}/link/x` };
    mkdirSync(join(directory, 'outside', 'x'), { recursive: true });
    symlinkSync(join(directory, 'outside'), join(repository.path, 'link'));
    await makeThin(thin, [linked]);
    await driver.createReadWrite(box, { parent: thin });
    await expect(views.get(box)).rejects.toMatchObject({ code: 'ERR_MALFORMED_THIN_LAYER', subject: linked.url });
    rmSync(join(repository.path, 'link'));
    await expect(views.get(box)).rejects.toMatchObject({ code: 'ERR_NOT_FOUND', subject: linked.url });
    mkdirSync(join(repository.path, 'link'));
    writeFileSync(join(repository.path, 'link', 'x'), '');
    await expect(views.get(box)).rejects.toMatchObject({ code: 'ERR_NOT_FOUND' });
    expect([uses(), mounter.isMounted(driver.mountPoint(box))]).toEqual([[], false]);
  });

  test('as many layers are mounted as the driver takes, counted with what thin ones stand for', async () => {
    const { maxDepth } = driver.abilities;
    const layers = Array.from({ length: maxDepth - 1 }, (_, at) =>
      repository.publish(`layer ${at}`, { [`file-${at}`]: `${at}`, shared: `${at}`, [`.wh.file-${at - 2}`]: '' }),
    );
    await makeThin(thin, layers.slice(0, -1));
    await makeThin(second, layers, thin);
    await driver.createReadWrite(box, { parent: second });
    expect(Object.keys(await files(box)).filter((path) => path.includes('file'))).toHaveLength(2);
    const deeper = parseLayerId('deeper');
    await make(middle, thin, (path) => writeLayer(path, { file: '1' }));
    await expect(makeThin(deeper, layers, middle)).rejects.toMatchObject({ code: 'ERR_MAX_DEPTH', subject: deeper });
    const full = parseLayerId('full');
    await make(full, second, () => undefined);
    await expect(driver.create(parseLayerId('over'), { parent: full })).rejects.toMatchObject({
      code: 'ERR_MAX_DEPTH',
      subject: full,
    });
  });

  test('repositories are open while a view is mounted, and again when it is mounted again', async () => {
    await makeThin(thin, [repository.publish('base', { file: '1' })]);
    await driver.createReadWrite(box, { parent: thin });
    expect(uses()).toEqual([]);
    await views.get(box);
    await views.get(box);
    expect(uses()).toEqual([box]);
    expect(Object.fromEntries(await driver.status())).toMatchObject({
      'Thin Images': 'external',
      'Thin Repositories In Use': repository.name,
    });
    await views.put(box);
    expect(uses()).toEqual([box]);
    await views.put(box);
    expect(uses()).toEqual([]);
    await views.put(box);
    await views.get(box);
    expect(uses()).toEqual([box]);
    await views.remove(box);
    expect(uses()).toEqual([]);
  });

  test('an open forgets what was noted of layers that no thin layer names any more', async () => {
    await makeThin(thin, [
      repository.publish('base', { 'd/file': '1' }),
      repository.publish('top', { 'd/.wh.file': '' }),
    ]);
    await driver.createReadWrite(box, { parent: thin });
    await shown(box);
    const notes = (): string[] => readdirSync(join(home, '.layerstore', 'thin', 'layers'));
    await open();
    expect(notes()).toHaveLength(2);
    for (const id of [box, thin]) await driver.remove(id);
    await open();
    expect(notes()).toEqual([]);
  });

  test('a start is not recorded where nobody tells what is read', async () => {
    await makeThin(thin, [repository.publish('base', { file: '1' })]);
    await driver.createReadWrite(box, { parent: thin });
    await using _lease = await views.lease(box);
    expect(recordsStarts(driver)).toBe(true);
    if (!recordsStarts(driver)) return;
    await expect(driver.recordStart(box)).rejects.toMatchObject({ code: 'ERR_NOT_SUPPORTED' });
    await expect(driver.recordStart(thin)).rejects.toMatchObject({ code: 'ERR_NOT_SUPPORTED', subject: thin });
  });

  test('without the options of thin images a thin layer is an ordinary one', async () => {
    await makeThin(thin, [repository.publish('base', { file: '1' })]);
    await driver.createReadWrite(box, { parent: thin });
    const plain = await open({});
    await using lease = await new LayerViews(plain, mounter).lease(box);
    expect(Object.keys(treeFacts(lease.path))).toContain('/thin.json');
  });

  test('a home that is only read shows thin images, and not a byte of it changes', async () => {
    await makeThin(thin, [
      repository.publish('base', { 'd/file': '1' }),
      repository.publish('top', { 'd/.wh.file': '' }),
    ]);
    await driver.createReadWrite(box, { parent: thin });
    rmSync(join(home, '.layerstore'), { recursive: true });
    const before = treeFacts(home);
    const reader = await openDriver(name, home, {
      mounter,
      workers,
      access: 'read-only',
      storageOptions: repository.options,
    });
    {
      await using lease = await new LayerViews(reader, mounter).lease(box);
      expect(readdirSync(lease.path)).toEqual(['d']);
      expect(readdirSync(join(lease.path, 'd'))).toEqual([]);
    }
    expect(treeFacts(home)).toEqual(before);
    removeTree(reader.state);
  });
});
