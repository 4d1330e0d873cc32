// Gives every task of an agent a workspace of its own: tasks run side by side, each on the same image, none sees another.
// A task that succeeds becomes an image; one that fails is discarded, and the image is as it was.
//   node examples/agent-sandbox.mjs IMAGE.tar 'sed -i s/a/b/ /etc/hostname' 'rm -rf /etc && exit 1'
import { LayerStore } from 'layerstore';

const [archive, ...tasks] = process.argv.slice(2);

/**
 * Runs one shell command in a workspace.
 * @param {LayerStore} store
 * @param {string} image
 * @param {string} task
 * @param {number} number
 */
async function attempt(store, image, task, number) {
  const workspace = await store.workspaces.create(image);
  try {
    // The workspace is an ordinary directory: the agent can also edit files below workspace.path itself.
    const { exitCode } = await workspace.run(['/bin/sh', '-c', task], { stdio: 'pipe' });
    const changes = await workspace.changes();
    const kept = exitCode === 0 ? await workspace.commit(`agent:task-${number}`, { message: task }) : undefined;
    return { task, exitCode, changes, kept };
  } finally {
    await workspace.discard();
  }
}

const store = await LayerStore.open({ root: process.env.LAYERSTORE_ROOT ?? '/var/lib/layerstore' });
try {
  const [image] = await store.images.load({ path: archive });
  const results = await Promise.all(tasks.map((task, index) => attempt(store, image.id, task, index + 1)));
  for (const { task, exitCode, changes, kept } of results) {
    console.log(`${task}: exit ${exitCode}, ${kept ? `kept as ${kept.references[0]}` : 'discarded'}`);
    for (const { kind, path } of changes) console.log(`  ${kind.padEnd(6)} ${path}`);
  }
} finally {
  await store.close();
}
