// Runs one store operation and kills itself with SIGKILL at the n-th publish step (or never, to count the steps).
// usage: node victim.mjs ROOT DRIVER STEP OPERATION ARGUMENT...
import { subscribe } from 'node:diagnostics_channel';
import { LayerStore } from '@layerstore/store';

const [root, driver, killAt, operation, ...rest] = process.argv.slice(2);
let step = 0;
const names = [];
subscribe('layerstore:step', ({ name }) => {
  step += 1;
  names.push(name);
  if (step === Number(killAt)) process.kill(process.pid, 'SIGKILL');
});

const operations = {
  load: (store, path) => store.images.load({ path }),
  pull: (store, reference) => store.images.pull(reference),
  tag: (store, from, to) => store.images.tag(from, to),
  create: (store, image, name) => store.containers.create(image, { name }),
  mount: (store, name) => store.containers.mount(name),
  unmount: (store, name) => store.containers.unmount(name),
  commit: (store, name, reference) => store.containers.commit(name, reference),
  rm: (store, name) => store.containers.remove(name, { force: true }),
  rmi: (store, name) => store.images.remove(name),
  prune: (store) => store.prune({ all: true }),
};

const store = await LayerStore.open({ root, driver });
await operations[operation](store, ...rest);
await store.close();
process.stdout.write(JSON.stringify(names));
