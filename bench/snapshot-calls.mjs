// How long the calls of a snapshotter take, as a gRPC client of containerd, or of the snapshotter's own socket, sees them.
import grpc from '@grpc/grpc-js';
import { Snapshots } from '../packages/daemon/dist/grpc/generated/snapshots_pb.js';
import { serviceDefinition } from '../packages/daemon/dist/grpc/service-definition.js';

/** What is timed one after the other, over one parent. */
const calls = ['Prepare', 'Mounts', 'Stat', 'Remove'];
const kept = { labels: { 'containerd.io/gc.root': 'bench' } };

/**
 * @param {{ socket: string, snapshotter: string, depths: readonly number[], times: number }} options
 * @returns {Promise<Record<string, { wall: number, cpu: number, memory: number, busy: number }>>} by `depth call`: the median of a call in
 *   seconds; `depth 8 callers` is the time of one pair of Prepare and Remove among eight callers
 */
export async function timeCalls({ socket, snapshotter, depths, times }) {
  const Client = grpc.makeGenericClientConstructor(serviceDefinition(Snapshots), 'Snapshots');
  const client = new Client(`unix:${socket}`, grpc.credentials.createInsecure());
  const metadata = new grpc.Metadata();
  metadata.set('containerd-namespace', 'default');
  const call = (method, request) =>
    new Promise((resolve, reject) => {
      client[method]({ snapshotter, ...request }, metadata, (error, reply) => (error ? reject(error) : resolve(reply)));
    });
  const results = {};
  // Nobody can tell whose the processors were during one call: every sample counts, and the median is that of many calls.
  const put = (name, seconds) => (results[name] = { wall: seconds, cpu: 0, memory: NaN, busy: 0 });
  let parent = '';
  let depth = 0;
  for (const wanted of depths) {
    for (; depth < wanted; depth += 1) {
      await call('Prepare', { key: `work-${depth}`, parent, ...kept });
      await call('Commit', { key: `work-${depth}`, name: `layer-${depth}`, ...kept });
      parent = `layer-${depth}`;
    }
    const timed = Object.fromEntries([...calls, 'four calls', 'Commit'].map((name) => [name, []]));
    for (let time = 0; time < times; time += 1) {
      const key = `key-${wanted}-${time}`;
      const started = performance.now();
      for (const method of calls) {
        const from = performance.now();
        await call(method, method === 'Prepare' ? { key, parent, ...kept } : { key });
        timed[method].push(performance.now() - from);
      }
      timed['four calls'].push(performance.now() - started);
    }
    for (let time = 0; time < times / 4; time += 1) {
      const key = `commit-${wanted}-${time}`;
      await call('Prepare', { key, parent, ...kept });
      const from = performance.now();
      await call('Commit', { key, name: `${key}-name`, ...kept });
      timed['Commit'].push(performance.now() - from);
      await call('Remove', { key: `${key}-name` });
    }
    for (const [name, values] of Object.entries(timed)) put(`${wanted} ${name}`, median(values) / 1000);
    const from = performance.now();
    await Promise.all(
      Array.from({ length: 8 }, async (_, caller) => {
        for (let time = 0; time < times / 4; time += 1) {
          const key = `caller-${wanted}-${caller}-${time}`;
          await call('Prepare', { key, parent, ...kept });
          await call('Remove', { key });
        }
      }),
    );
    put(`${wanted} 8 callers`, (performance.now() - from) / 1000 / (8 * Math.ceil(times / 4)));
  }
  client.close();
  return results;
}

function median(values) {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}
