import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { HomeStaging } from '../home/home-staging.js';
import { treeWork } from '../home/tree-work.js';
import { base, makeBase } from './sample-layers.js';
import type { Conformance, OpenedHome } from './subject.js';
import { treeFacts } from './tree-facts.js';

/** What opening a home does with what others have left in it. */
export function recoveryTests(conformance: Conformance): void {
  test('what dead processes left in staging is deleted when the home is opened', async () => {
    await using home = await conformance.openHome();
    await makeBase(home);
    const left = join(stagingOf(home), 'left-behind');
    mkdirSync(join(left, 'layer'), { recursive: true });
    writeFileSync(join(left, 'layer', 'file'), '');
    writeFileSync(`${left}.lock`, '');
    writeFileSync(join(stagingOf(home), 'only-a-lock.lock'), '');
    await home.reopen();
    expect(readdirSync(stagingOf(home))).toEqual([]);
  });

  test('a mount that a dead process left in staging is unmounted, and its layer keeps its content', async () => {
    await using home = await conformance.openHome();
    await makeBase(home);
    const before = await home.inView(base, treeFacts);
    const left = join(stagingOf(home), 'left-behind');
    mkdirSync(left);
    await home.tools.mounter.mount(await home.driver.openView(base, { readOnly: true }), join(left, 'layer'));
    await home.reopen();
    expect(readdirSync(stagingOf(home))).toEqual([]);
    expect(await home.inView(base, treeFacts)).toEqual(before);
  });

  test('what a living process has in staging stays', async () => {
    await using home = await conformance.openHome();
    const staging = new HomeStaging(home.driver.state, treeWork(undefined));
    await using inWork = await staging.enter();
    writeFileSync(inWork.entry('file'), '');
    await home.reopen();
    expect(readdirSync(inWork.path)).toEqual(['file']);
  });
}

function stagingOf(home: OpenedHome): string {
  const path = join(home.driver.state, 'staging');
  mkdirSync(path, { recursive: true });
  return path;
}
