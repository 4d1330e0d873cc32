// Builds an image without a Dockerfile: a root file system comes in as a tar, commands change it, an OCI archive goes out.
//   mmdebstrap --variant=minbase bookworm root.tar
//   node examples/build-image.mjs root.tar web.oci.tar 'apt-get update && apt-get install -y nginx-light'
import { LayerStore } from 'layerstore';

const [rootFileSystem, archive, ...steps] = process.argv.slice(2);
const reference = 'built:latest';

const store = await LayerStore.open({ root: process.env.LAYERSTORE_ROOT ?? '/var/lib/layerstore' });
try {
  let image = await store.images.import({ path: rootFileSystem }, 'built:base', { changes: ['CMD ["/bin/sh"]'] });
  // Each step becomes a layer, as in a Dockerfile; images share the layers below.
  for (const step of steps) {
    const workspace = await store.workspaces.create(image.id);
    try {
      const { exitCode } = await workspace.run(['/bin/sh', '-c', step]);
      if (exitCode !== 0) throw new Error(`${step}: exit ${exitCode}`);
      image = await workspace.commit(reference, { message: step });
    } finally {
      await workspace.discard();
    }
  }
  const { size } = await store.images.save(
    [image.id],
    { path: archive },
    { format: 'oci-archive', compression: 'gzip' },
  );
  for (const entry of await store.images.history(image.id))
    console.log(`${entry.size}\t${entry.comment ?? entry.createdBy ?? ''}`);
  console.log(`${archive}: ${size} bytes, ${image.id}`);
} finally {
  await store.close();
}
