// Prepares a directory tree once and gives every test a copy-on-write fork of it: setting up is paid once, tests cannot
// disturb each other, and nothing is left to clean up.
//   node --test examples/test-fixtures.mjs
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { LayerStore } from 'layerstore';

/** @type {string} */
let root;
/** @type {LayerStore} */
let store;
/** @type {import('layerstore').Workspace} */
let seeded;

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'fixtures-'));
  store = await LayerStore.open({ root });
  // Any tar will do as a base; this one holds the directory with the examples.
  const tar = spawn('tar', ['-C', import.meta.dirname, '-c', '.']);
  const image = await store.images.import({ stream: tar.stdout }, 'fixtures:base');
  seeded = await store.workspaces.create(image.id);
  await writeFile(join(seeded.path, 'users.csv'), 'name\nada\ngrace\n');
});

after(async () => {
  await seeded.discard();
  await store.close();
  await rm(root, { recursive: true });
});

/**
 * Calls a test with the path of a fork that ends with the test.
 * @param {(path: string, fork: import('layerstore').Workspace) => Promise<void>} body
 */
const withFork = (body) => async () => {
  const fork = await seeded.fork();
  try {
    await body(fork.path, fork);
  } finally {
    await fork.discard();
  }
};

test(
  'a test may change what was prepared',
  withFork(async (path, fork) => {
    await appendFile(join(path, 'users.csv'), 'margaret\n');
    await rm(join(path, 'test-fixtures.mjs'));
    const changes = (await fork.changes()).map(({ kind, path }) => `${kind} ${path}`);
    assert.ok(changes.includes('delete /test-fixtures.mjs'));
  }),
);

test(
  'the next test sees none of it',
  withFork(async (path) => {
    assert.equal(await readFile(join(path, 'users.csv'), 'utf8'), 'name\nada\ngrace\n');
    assert.match(await readFile(join(path, 'test-fixtures.mjs'), 'utf8'), /the next test sees none of it/);
  }),
);
