// Copies an image from one registry to another through a store, with the log-ins of docker and podman; its manifest stays what it was.
// Layers that the store or the second registry has are neither fetched nor sent.
//   node examples/copy-image.mjs debian:12 registry.example.org/mirror/debian:12
import { homedir } from 'node:os';
import { join } from 'node:path';
import { credentialFiles, LayerStore } from 'layerstore';

const [from = '', to = ''] = process.argv.slice(2);
const registry = {
  credentials: credentialFiles({
    files: [join(homedir(), '.config/containers/auth.json'), join(homedir(), '.docker/config.json')],
    helperEnvironment: process.env,
  }),
};

const store = await LayerStore.open({ root: process.env.LAYERSTORE_ROOT ?? '/var/lib/layerstore' });
try {
  const { digest } = await store.images.pull(from, { registry, keepBlobs: true });
  console.log(`${from} is ${digest}`);
  const pushed = await store.images.push(from, to, { registry });
  for (const layer of pushed.layers)
    console.log(`  ${layer.digest.slice(0, 19)} ${layer.size} bytes: ${layer.outcome}`);
  console.log(`${pushed.reference} is ${pushed.digest}`);
} finally {
  await store.close();
}
