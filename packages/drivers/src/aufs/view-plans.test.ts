/** Views by the kernel's own aufs, which this machine need not have: plans are records. */
import { mkdtempSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseLayerId, type LayerId } from '@layerstore/core';
import { Mounter, removeTree } from '@layerstore/linux';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Home } from '../home/home.js';
import { aufsWork } from './aufs-work.js';
import { LayerRecords } from './layer-records.js';
import { openAufs } from './open-aufs.js';
import { OverlayForms } from './overlay-forms.js';
import { Shadows } from '../shadows/shadows.js';
import { ShadedPlans } from '../shadows/shaded-plans.js';
import { ShortNames } from '../shadows/short-names.js';
import { ViewPlans } from './view-plans.js';

const [base, image, box] = [parseLayerId('base'), parseLayerId('image'), parseLayerId('box')];

describe.skipIf(process.geteuid?.() !== 0)('plans for a kernel with aufs (needs root)', () => {
  let directory: string;
  let plans: ViewPlans;
  const path = (id: LayerId): string => join(directory, 'home', 'diff', id);
  beforeEach(async () => {
    directory = realpathSync(mkdtempSync('/dev/shm/layerstore-aufs-plans-'));
    const mounter = new Mounter();
    const driver = await openAufs(join(directory, 'home'), { mounter, engine: 'overlay' });
    await driver.create(base);
    await driver.create(image, { parent: base });
    await driver.createReadWrite(box, { parent: image });
    const home = Home.open(driver.home, { mounter });
    const records = new LayerRecords(home);
    const work = aufsWork(undefined);
    const forms = new OverlayForms({
      home: home.path,
      work,
      trees: home.trees,
      marks: 'trusted',
      pathOf: path,
      mountsOf: () => [],
    });
    const shadows = new Shadows({ home, work, logger: undefined });
    plans = new ViewPlans({
      home,
      engine: 'aufs',
      records,
      forms,
      shadows,
      shaded: new ShadedPlans({ home, shadows, shortNames: new ShortNames(home.state) }),
      work,
      overlayOptions: [],
      aufsOptions: ['dirperm1'],
      idMaps: undefined,
    });
  });
  afterEach(() => removeTree(directory));

  test('name the directories as branches, the writable one first, and translate nothing', async () => {
    writeFileSync(join(path(box), '.wh.gone'), '');
    const expected = {
      kind: 'aufs',
      branches: [box, image, base].map(path),
      writable: true,
      options: ['dirperm1', 'context="system_u:object_r:container_file_t:s0:c1,c2"'],
    };
    const mountLabel = 'system_u:object_r:container_file_t:s0:c1,c2';
    expect(await plans.describe(box, { mountLabel })).toEqual(expected);
    expect(await plans.prepare(box, { mountLabel })).toEqual(expected);
    expect(await plans.tree(box)).toEqual({ path: path(box), dialect: 'aufs' });
  });

  test('write into no branch for a read-only view, nor for a layer that has a child', async () => {
    expect(await plans.describe(box, { readOnly: true })).toMatchObject({ kind: 'aufs', writable: false });
    expect(await plans.describe(image, {})).toMatchObject({ branches: [image, base].map(path), writable: false });
  });

  test('show a base layer as its directory, as Docker does', async () => {
    expect(await plans.describe(base, { readOnly: true })).toEqual({
      kind: 'bind',
      source: path(base),
      readOnly: true,
    });
  });

  test('leave out what lies below an opaque root', async () => {
    writeFileSync(join(path(image), '.wh..wh..opq'), '');
    expect(await plans.describe(box, {})).toMatchObject({ branches: [box, image].map(path) });
  });
});
