import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { LayerViews } from '../views/layer-views.js';
import { base, makeBase, snapshot } from './sample-layers.js';
import type { Conformance, OpenedHome } from './subject.js';
import { treeFacts } from './tree-facts.js';

/** Runs in a process of its own: gets the view of a layer, says where it is, and waits to be killed. */
const program = `
  import { LayerViews, openDriver } from '@layerstore/drivers';
  import { Mounter } from '@layerstore/linux';
  const { home, driver, mountMethod, storageOptions, id } = JSON.parse(process.argv[1]);
  const mounter = new Mounter({ method: mountMethod });
  const views = new LayerViews(await openDriver(driver, home, { mounter, storageOptions }), mounter);
  console.log(await views.get(id));
  process.stdin.resume();
`;

/** What the next process finds when one was killed that had views mounted. */
export function crashTests(conformance: Conformance): void {
  const { subject } = conformance;
  const usable =
    subject.driver === undefined || subject.access !== undefined ? 'no process of its own can open it' : '';

  test('a view that a killed process left mounted is adopted, and shows what was written into it', async (context) => {
    if (usable !== '') return context.skip(usable);
    await using home = await conformance.openHome();
    await makeBase(home);
    await home.driver.create(snapshot, { parent: base });
    const left = await leaveMounted(home);
    const written = subject.views !== 'read-only';
    if (written) writeFileSync(join(left, 'written'), 'after the crash');
    const mounted = home.isMounted(snapshot);

    const driver = await home.reopen();
    const views = new LayerViews(driver, home.tools.mounter);
    expect(await views.get(snapshot)).toBe(left);
    expect(treeFacts(left)).toHaveProperty('/a file');
    if (written) expect(readFileSync(join(left, 'written'), 'utf8')).toBe('after the crash');
    // One user is gone; whether he comes back to let go, as an engine does after its restart, is not known.
    await views.put(snapshot);
    expect(home.isMounted(snapshot)).toBe(mounted);
    for (let surplus = 0; surplus < 2; surplus++) await views.put(snapshot);
    expect(home.isMounted(snapshot)).toBe(false);
    expect(await home.inView(snapshot, treeFacts)).toHaveProperty('/a file');
    if (written) expect(await home.inView(snapshot, treeFacts)).toHaveProperty('/written');
  });

  test('every view that killed processes left is unmounted by a cleanup, and the layers are whole', async (context) => {
    if (usable !== '') return context.skip(usable);
    await using home = await conformance.openHome();
    await makeBase(home);
    await home.driver.create(snapshot, { parent: base });
    const before = await home.inView(snapshot, treeFacts);
    await leaveMounted(home);
    const namespace = await startOutside();
    try {
      const driver = await home.reopen();
      await new LayerViews(driver, home.tools.mounter).cleanup();
      expect(home.tools.mounter.mountsBelow(driver.home)).toEqual([]);
      const elsewhere = readFileSync(`/proc/${namespace.pid}/mountinfo`, 'utf8');
      expect(elsewhere).not.toContain(driver.home);
    } finally {
      const ended = once(namespace, 'close');
      namespace.stdin?.end();
      await ended;
    }
    expect(await home.inView(snapshot, treeFacts)).toEqual(before);
  });

  async function leaveMounted(home: OpenedHome): Promise<string> {
    const { driver, mountMethod = 'auto', storageOptions = {} } = subject;
    const request = { home: home.driver.home, driver, mountMethod, storageOptions, id: snapshot };
    const child = spawn(process.execPath, ['--input-type=module', '-e', program, JSON.stringify(request)], {
      cwd: fileURLToPath(new URL('../..', import.meta.url)),
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
    return line.toString().trim();
  }
}

/** A process in a mount namespace of its own, which has a copy of every mount. */
async function startOutside(): Promise<ChildProcess> {
  const child = spawn('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', 'echo; read line'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  return child;
}
