import type { LayerHome, LayerStore } from '@layerstore/store';
import { defaultRoot } from '../global-options.js';
import { printable } from '../output/printable.js';
import { buildProgram, loadVerb } from '../program.js';
import type { Session } from '../session.js';
import { complete, type Candidate } from './candidates.js';

/**
 * Answers a completion script: `layerstore complete -- WORD... CURRENT` prints a line for each candidate, its description behind
 * a tab, and at last `:none`, `:files` or `:directories`, which the shell completes by itself.
 */
export async function completeWords(args: readonly string[], session: Session): Promise<void> {
  const words = args[0] === '--' ? args.slice(1) : args;
  const current = words.at(-1) ?? '';
  const program = buildProgram(session);
  const { candidates, paths } = await complete(program, words.slice(0, -1), current, {
    loadVerb: (verb) => loadVerb(verb, session),
    images: async (root) =>
      fromStore(root, async (store) =>
        (await store.images.list()).flatMap(({ references }) =>
          references.map((value) => ({ value, description: 'image' })),
        ),
      ),
    containers: async (root) =>
      fromStore(root, async (store) =>
        (await store.containers.list()).map(({ name, imageReference }) => ({
          value: name,
          description: `container of ${imageReference}`,
        })),
      ),
    layers: async (home, driver) =>
      fromHome(home, driver, async (opened) =>
        (await opened.layers()).map(({ id, parent }) => ({
          value: id,
          description: parent === undefined ? 'layer' : `layer over ${parent}`,
        })),
      ),
  });
  session.print(...candidates.map(({ value, description }) => `${value}\t${printable(description)}`), `:${paths}`);
}

async function fromStore(
  root: string | undefined,
  read: (store: LayerStore) => Promise<readonly Candidate[]>,
): Promise<readonly Candidate[]> {
  try {
    const { LayerStore } = await import('@layerstore/store');
    await using store = await LayerStore.open({
      root: root ?? (process.env['LAYERSTORE_ROOT'] || defaultRoot),
      create: false,
      lockTimeoutMs: 1000,
    });
    return await read(store);
  } catch {
    // Completion happens in the middle of typing: a root that is missing or may not be read has no names, and any text would tear the line.
    return [];
  }
}

/** The same for a driver home, of which not a byte changes. */
async function fromHome(
  path: string,
  driver: string | undefined,
  read: (home: LayerHome) => Promise<readonly Candidate[]>,
): Promise<readonly Candidate[]> {
  try {
    const { LayerHome } = await import('@layerstore/store');
    const named = driver === undefined ? {} : { driver };
    await using home = await LayerHome.open({ home: path, access: 'read-only', ...named });
    return await read(home);
  } catch {
    return [];
  }
}
