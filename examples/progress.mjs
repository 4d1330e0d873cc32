// Shows the typed progress events of a long operation as lines, and stops it by an AbortSignal: after a time limit, or on Ctrl-C.
// What was interrupted leaves nothing: the store is as it was before.
//   node examples/progress.mjs IMAGE.tar [SECONDS]
import { LayerStore, StoreError } from 'layerstore';

const [archive, seconds = '600'] = process.argv.slice(2);
const interrupted = new AbortController();
process.once('SIGINT', () => interrupted.abort());
const signal = AbortSignal.any([interrupted.signal, AbortSignal.timeout(Number(seconds) * 1000)]);

/** @type {import('layerstore').ProgressListener} */
const onProgress = (event) => {
  switch (event.kind) {
    case 'start':
      return console.log(`${event.label}: ${event.total ?? 'unknown'} bytes`);
    case 'advance':
      return console.log(
        `  ${event.task.slice(0, 20)} ${event.total ? Math.floor((100 * event.done) / event.total) : '?'}%`,
      );
    case 'wait':
      return console.log(`${event.label}: waits, ${event.reason}`);
    case 'end':
      return console.log(`${event.label}: ${event.outcome}`);
  }
};

const store = await LayerStore.open({ root: process.env.LAYERSTORE_ROOT ?? '/var/lib/layerstore' });
try {
  const images = await store.images.load({ path: archive }, { signal, onProgress });
  for (const image of images) console.log(`loaded ${image.references.join(', ')} ${image.id}`);
} catch (error) {
  if (!StoreError.is(error)) throw error;
  console.error(`${error.code}: ${error.message}${error.hint ? `; ${error.hint}` : ''}`);
  process.exitCode = 1;
} finally {
  await store.close();
}
