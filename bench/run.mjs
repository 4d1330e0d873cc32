// Measures layerstore next to other programs. See README.md.
//
//   node bench/run.mjs load|pull|change|start|memory|drivers|docker|containerd|all [--rounds N] [--on tmpfs,ext4] [--busy]
//
// --busy: takes samples also while other programs use the processors; for trying the harness, not for figures.
import { parseArgs } from 'node:util';
import { runAndCleanUp } from './cleanup.mjs';
import { fileSystems } from './file-systems.mjs';

/**
 * @typedef {object} Options
 * @property {number} rounds samples of each program in each case
 * @property {readonly import('./file-systems.mjs').FileSystem[]} on
 * @property {(text: string) => void} note says what is being done
 * @property {boolean} busy takes samples also while other programs use the processors
 */

const benchmarks = {
  load: async (options) => (await import('./load.mjs')).load(options),
  pull: async (options) => (await import('./pull.mjs')).pull(options),
  change: async (options) => (await import('./change.mjs')).change(options),
  start: async (options) => (await import('./start.mjs')).start(options),
  memory: async (options) => (await import('./memory.mjs')).memory(options),
  drivers: async (options) => (await import('./drivers.mjs')).drivers(options),
  docker: async (options) => (await import('./docker.mjs')).docker(options),
  containerd: async (options) => (await import('./snapshotter.mjs')).containerd(options),
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '7' },
    on: { type: 'string', default: fileSystems.join(',') },
    busy: { type: 'boolean', default: false },
  },
});
const [wanted = 'all'] = positionals;
const chosen = wanted === 'all' ? Object.keys(benchmarks) : [wanted];
const rounds = Number(values.rounds);
const on = fileSystems.filter((type) => values.on.split(',').includes(type));
if (chosen.some((name) => !(name in benchmarks)) || !(rounds >= 1) || on.length === 0) {
  const names = [...Object.keys(benchmarks), 'all'].join('|');
  process.stderr.write(`usage: node bench/run.mjs ${names} [--rounds N] [--on tmpfs,ext4] [--busy]\n`);
  process.exit(125);
}
if (process.getuid?.() !== 0) {
  process.stderr.write('bench: root is needed: file systems are made and mounted\n');
  process.exit(1);
}

await runAndCleanUp(async () => {
  for (const name of chosen) {
    const note = (text) => process.stderr.write(`bench: ${name}: ${text}\n`);
    await benchmarks[name]({ rounds, on, note, busy: values.busy });
  }
});
