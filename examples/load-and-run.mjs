// Loads an image, runs a command in a container of it and prints what the command changed.
//   node examples/load-and-run.mjs IMAGE.tar COMMAND [ARGUMENT...]
// Root is needed. The store is $LAYERSTORE_ROOT, or /var/lib/layerstore.
import { LayerStore } from 'layerstore';

const [archive, ...command] = process.argv.slice(2);
const store = await LayerStore.open({ root: process.env.LAYERSTORE_ROOT ?? '/var/lib/layerstore' });
try {
  const [image] = await store.images.load({ path: archive });
  const container = await store.containers.create(image.id);
  try {
    const { exitCode } = await store.containers.run(container.id, command);
    for (const { kind, path } of await store.containers.changes(container.id)) console.log(kind.padEnd(6), path);
    process.exitCode = exitCode;
  } finally {
    await store.containers.remove(container.id, { force: true });
  }
} finally {
  await store.close();
}
