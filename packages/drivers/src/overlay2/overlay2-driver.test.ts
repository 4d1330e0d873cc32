import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseLayerId, type LayerId } from '@layerstore/core';
import { Mounter } from '@layerstore/linux';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Home } from '../home/home.js';
import { SizeLimits } from '../home/size-limits.js';
import { OtherLowers } from './other-lowers.js';
import { Overlay2Driver } from './overlay2-driver.js';

const [base, middle, top, stranger] = ['base', 'middle', 'top', 'stranger'].map(parseLayerId) as [
  LayerId,
  LayerId,
  LayerId,
  LayerId,
];

/** Nothing is mounted here: the driver only describes. */
describe('overlay2', () => {
  let directory: string;
  let driver: Overlay2Driver;

  beforeEach(async () => {
    directory = realpathSync(mkdtempSync(join(tmpdir(), 'layerstore-overlay2-')));
    driver = await openStack();
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const openAgain = (): Overlay2Driver => {
    const home = Home.open(join(directory, 'home'), { mounter: new Mounter() });
    home.makeSubdirectory('l', 0o700);
    const sizeLimits = SizeLimits.open(home, home.path, { driver: 'overlay2', keys: [], storageOptions: undefined });
    return new Overlay2Driver({
      home,
      mountOptions: ['index=off', 'redirect_dir=off'],
      sizeLimits,
      otherLowers: OtherLowers.in(home, { mounter: new Mounter() }),
    });
  };
  const openStack = async (): Promise<Overlay2Driver> => {
    const made = openAgain();
    await made.create(base);
    await made.create(middle, { parent: base });
    await made.createReadWrite(top, { parent: middle });
    await made.create(stranger);
    return made;
  };
  const file = (...names: string[]): string => join(directory, 'home', ...names);
  const linkOf = (id: LayerId): string => readFileSync(file(id, 'link'), 'utf8');
  const modeOf = (...names: string[]): string => (lstatSync(file(...names)).mode & 0o7777).toString(8);

  test('keeps the home that Docker keeps', () => {
    expect(linkOf(base)).toMatch(/^[A-Z2-7]{26}$/);
    expect(readlinkSync(file('l', linkOf(base)))).toBe('../base/diff');
    expect(readdirSync(file(base)).sort()).toEqual(['committed', 'diff', 'link']);
    expect(readdirSync(file(top)).sort()).toEqual(['diff', 'link', 'lower', 'work']);
    expect(readFileSync(file(top, 'lower'), 'utf8')).toBe(`l/${linkOf(middle)}:l/${linkOf(base)}`);
    expect(readFileSync(file(middle, 'lower'), 'utf8')).toBe(`l/${linkOf(base)}`);
    expect(readFileSync(file(middle, 'committed'), 'utf8')).toBe('');
  });

  test('gives every directory and file the mode that Docker gives, whatever the umask', async () => {
    const before = process.umask(0o077);
    try {
      await driver.create(parseLayerId('masked'), { parent: top });
    } finally {
      process.umask(before);
    }
    const modes = ['.', 'l', 'masked', 'masked/diff', 'masked/work', 'masked/link', 'masked/lower', 'top/committed'];
    expect(modes.map((name) => [name, modeOf(name)])).toEqual([
      ['.', '710'],
      ['l', '700'],
      ['masked', '710'],
      ['masked/diff', '755'],
      ['masked/work', '700'],
      ['masked/link', '644'],
      ['masked/lower', '644'],
      ['top/committed', '600'],
    ]);
  });

  test('describes a writable layer as an upper over its lowers, uppermost first', async () => {
    expect(await driver.plan(top)).toEqual({
      kind: 'overlay',
      lowers: [file(middle, 'diff'), file(base, 'diff')],
      upper: { path: file(top, 'diff'), work: file(top, 'work') },
      options: ['index=off', 'redirect_dir=off'],
      short: { base: file(), lowers: [`l/${linkOf(middle)}`, `l/${linkOf(base)}`] },
    });
    expect(driver.mountPoint(top)).toBe(file(top, 'merged'));
  });

  test('describes a layer that has a child, or is asked for read-only, without an upper', async () => {
    const expected = {
      kind: 'overlay',
      lowers: [file(middle, 'diff'), file(base, 'diff')],
      options: ['index=off', 'redirect_dir=off'],
      short: { base: file(), lowers: [`l/${linkOf(middle)}`, `l/${linkOf(base)}`] },
    };
    expect(await driver.plan(middle)).toEqual(expected);
    const lowers = [top, middle, base];
    expect(await driver.plan(top, { readOnly: true })).toEqual({
      ...expected,
      lowers: lowers.map((id) => file(id, 'diff')),
      short: { base: file(), lowers: lowers.map((id) => `l/${linkOf(id)}`) },
    });
  });

  test('describes a base layer as its directory, and once it has a child as a read-only bind of it', async () => {
    expect(await driver.plan(stranger)).toEqual({ kind: 'directory', path: file(stranger, 'diff') });
    const bind = { kind: 'bind', source: file(base, 'diff'), readOnly: true };
    expect(await driver.plan(base)).toEqual(bind);
    expect(await driver.plan(stranger, { readOnly: true })).toEqual({ ...bind, source: file(stranger, 'diff') });
  });

  test('quotes an SELinux label, whose categories contain commas, and takes no other text for one', async () => {
    const label = 'system_u:object_r:container_file_t:s0:c1,c2';
    expect(await driver.plan(top, { mountLabel: label })).toMatchObject({
      options: ['index=off', 'redirect_dir=off', `context="${label}"`],
    });
    expect(await driver.plan(top, { mountLabel: '' })).toMatchObject({ options: ['index=off', 'redirect_dir=off'] });
    for (const hostile of ['a",upperdir="/etc', 'a\nb', 'a\\']) {
      await expect(driver.plan(top, { mountLabel: hostile })).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    }
  });

  test("tells the paths by Docker's names", async () => {
    expect(await driver.metadata(top)).toEqual({
      LowerDir: `${file(middle, 'diff')}:${file(base, 'diff')}`,
      MergedDir: file(top, 'merged'),
      UpperDir: file(top, 'diff'),
      WorkDir: file(top, 'work'),
    });
    expect(await driver.metadata(base)).not.toHaveProperty('LowerDir');
    const status = Object.fromEntries(await driver.status());
    expect(status).toMatchObject({ 'Supports d_type': 'true', 'Native Overlay Diff': 'true', userxattr: 'false' });
    expect(status['Backing Filesystem']).toMatch(/./);
  });

  test('compares in place with the direct parent only', async () => {
    const tree = (id: LayerId): object => ({ path: file(id, 'diff'), dialect: 'overlay' });
    expect(await driver.diffSource(top, middle)).toEqual({ upper: tree(top), lowers: [tree(middle), tree(base)] });
    expect(await driver.diffSource(base, undefined)).toEqual({ upper: tree(base), lowers: [] });
    expect(await driver.diffSource(top, base)).toBeUndefined();
    expect(await driver.diffSource(top, undefined)).toBeUndefined();
  });

  test.each(['l', 'backingFsBlockDev'])('takes no layer for %s, which the home itself uses', async (name) => {
    const id = parseLayerId(name);
    await expect(driver.create(id)).rejects.toMatchObject({ code: 'ERR_INVALID_ID' });
    await expect(driver.remove(id)).rejects.toMatchObject({ code: 'ERR_INVALID_ID' });
    expect(await driver.list()).not.toContain(name);
  });

  test('leaves no symlink of a removed layer', async () => {
    await driver.remove(top);
    expect(readdirSync(file('l'))).toHaveLength(3);
    expect(existsSync(file(top))).toBe(false);
  });

  describe('repairs what other records still tell', () => {
    const cases: readonly (readonly [string, () => void])[] = [
      ['a lost symlink', () => unlinkSync(file('l', linkOf(base)))],
      ['an empty link', () => truncateSync(file(base, 'link'))],
      ['a lost link', () => unlinkSync(file(middle, 'link'))],
      ['an empty list of a layer that has a child', () => truncateSync(file(middle, 'lower'))],
      ['a lost list of a layer that has a child', () => unlinkSync(file(middle, 'lower'))],
      ['a cut list of a layer that has a child', () => truncateSync(file(middle, 'lower'), 20)],
      [
        'a symlink that leads to a layer that is gone',
        () => {
          const link = file('l', linkOf(base));
          unlinkSync(link);
          symlinkSync('../gone/diff', link);
        },
      ],
      [
        'a symlink that is a file',
        () => {
          const link = file('l', linkOf(middle));
          unlinkSync(link);
          writeFileSync(link, '');
        },
      ],
    ];
    test.each(cases)('%s', async (_, damage) => {
      const [plan, readOnly] = [await driver.plan(top), await driver.plan(middle, { readOnly: true })];
      damage();
      const again = openAgain();
      expect(await again.plan(top)).toEqual(plan);
      expect(await again.plan(middle, { readOnly: true })).toEqual(readOnly);
      await again.create(parseLayerId('next'), { parent: top });
      const names = plan.kind === 'overlay' ? plan.short?.lowers : undefined;
      expect(names?.map((name) => readlinkSync(file(name)))).toEqual(['../middle/diff', '../base/diff']);
      expect(readFileSync(file('next', 'lower'), 'utf8')).toBe([`l/${linkOf(top)}`, ...(names ?? [])].join(':'));
    });

    test('lost symlinks of all layers, and symlinks of layers that are gone, when the home is opened', async () => {
      for (const name of readdirSync(file('l'))) unlinkSync(file('l', name));
      symlinkSync('../gone/diff', file('l', 'A'.repeat(26)));
      await openAgain().cleanup();
      const ids = [base, middle, top, stranger];
      expect(readdirSync(file('l')).sort()).toEqual(ids.map(linkOf).sort());
    });
  });

  describe('never starts with the wrong lowers, and names the file', () => {
    const cases: readonly (readonly [string, () => string])[] = [
      ['an empty list', () => (truncateSync(file(top, 'lower')), file(top, 'lower'))],
      ['a lost list', () => (unlinkSync(file(top, 'lower')), file(top, 'lower'))],
      ['a list that is cut inside a name', () => (truncateSync(file(top, 'lower'), 40), file(top, 'lower'))],
      ['a list that is cut between names', () => (truncateSync(file(top, 'lower'), 28), file(top, 'lower'))],
      [
        'a list with a path',
        () => (writeFileSync(file(top, 'lower'), `l/${linkOf(middle)}:../../etc`), file(top, 'lower')),
      ],
      [
        'a list with a layer of another stack',
        () => (writeFileSync(file(top, 'lower'), `l/${linkOf(middle)}:l/${linkOf(stranger)}`), file(top, 'lower')),
      ],
      [
        'a lower layer that is gone',
        () => {
          rmSync(file(base), { recursive: true });
          return file('l', linkOf(middle)).slice(0, -26);
        },
      ],
      [
        'the short name of one layer leading to another',
        () => {
          const link = file('l', linkOf(base));
          unlinkSync(link);
          symlinkSync('../stranger/diff', link);
          return link;
        },
      ],
      [
        'a symlink in place of a lower layer',
        () => {
          rmSync(file(base, 'diff'), { recursive: true });
          symlinkSync('/etc', file(base, 'diff'));
          return file('l');
        },
      ],
      [
        'a short name that nothing tells any more',
        () => {
          const link = file('l', linkOf(top));
          unlinkSync(file(top, 'link'));
          unlinkSync(link);
          return file(top, 'link');
        },
      ],
    ];
    test.each(cases)('%s', async (_, damage) => {
      const place = damage();
      const refused = { code: 'ERR_STORE_DAMAGED', message: expect.stringContaining(place) as string };
      await expect(openAgain().plan(top, { readOnly: true })).rejects.toMatchObject(refused);
      await expect(openAgain().create(parseLayerId('next'), { parent: top })).rejects.toMatchObject(refused);
    });
  });

  test('understands a layer that an engine has created twice, with a second short name', async () => {
    const second = 'B'.repeat(26);
    symlinkSync('../middle/diff', file('l', second));
    writeFileSync(file(middle, 'link'), second);
    const plan = await openAgain().plan(top);
    expect(plan).toMatchObject({ lowers: [file(middle, 'diff'), file(base, 'diff')] });
    const next = parseLayerId('next');
    await driver.create(next, { parent: middle });
    expect(await driver.plan(next)).toMatchObject({ lowers: [file(middle, 'diff'), file(base, 'diff')] });
    await driver.remove(next);
    await driver.remove(top);
    await driver.remove(middle);
    await openAgain().cleanup();
    expect(readdirSync(file('l')).sort()).toEqual([linkOf(base), linkOf(stranger)].sort());
  });

  test('lists layers only, and leaves what else lies in the home alone', async () => {
    mkdirSync(file('.hidden'));
    writeFileSync(file('a-file'), '');
    expect((await driver.list()).sort()).toEqual([base, middle, stranger, top]);
    await openAgain().cleanup();
    expect(readdirSync(file())).toEqual(expect.arrayContaining(['.hidden', 'a-file']));
  });
});
