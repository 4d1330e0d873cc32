// How long a short command takes: hyperfine, a few runs of each command in turn, so that a busy moment hits all of them.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { LayerStore } from 'layerstore';
import { figure } from './chart.mjs';
import { withFileSystem } from './file-systems.mjs';
import { cache, manyImages } from './inputs.mjs';
import { measure, summary } from './measure.mjs';
import { undoLater } from './cleanup.mjs';
import { layerstore } from './peers.mjs';
import { publish, ratio } from './report.mjs';
import { takeTurns } from './rounds.mjs';

const runs = 10;

/** @param {import('./run.mjs').Options} options */
export async function start({ rounds, note, busy }) {
  const place = mkdtempSync(join(cache(), 'start-'));
  const removePlace = undoLater(() => rmSync(place, { recursive: true }));
  const samples = await withFileSystem('ext4', async (directory) => {
    const roots = { ten: join(directory, 'ten'), tenThousand: join(directory, 'ten-thousand') };
    note('filling stores with 10 and 10,000 images');
    await fill(roots.ten, 10);
    await fill(roots.tenThousand, 10_000);
    const commands = {
      'node -e 0': [process.execPath, '-e', '0'],
      'layerstore version': [...layerstore, 'version'],
      'layerstore images, 10 images': [...layerstore, '--root', roots.ten, 'images'],
      'layerstore images, 10,000 images': [...layerstore, '--root', roots.tenThousand, 'images'],
      'layerstore images -q, 10,000 images': [...layerstore, '--root', roots.tenThousand, 'images', '-q'],
      'layerstore inspect of one in 10,000': [...layerstore, '--root', roots.tenThousand, 'inspect', 'many-5000'],
    };
    const sides = Object.entries(commands).map(([name, argv]) => ({
      label: name,
      take: async () => ({ [name]: await hyperfine(argv, join(place, 'hyperfine.json')) }),
    }));
    return takeTurns(sides, { rounds, busy, note });
  });
  await removePlace();
  const of = (name) => summary(samples[name].flatMap(({ times }) => times));
  const base = of('node -e 0').median;
  const [ten, tenThousand] = ['layerstore images, 10 images', 'layerstore images, 10,000 images'].map(
    (name) => of(name).median,
  );
  await publish({
    name: 'start',
    command: `node bench/run.mjs start --rounds ${rounds}`,
    aims: [
      { aim: '`layerstore images` in less than twice `node -e 0`', reached: figure(ten / base), met: ten / base < 2 },
      {
        aim: '`layerstore images` at 10,000 images within 2 of that at 10',
        reached: figure(tenThousand / ten),
        met: tenThousand / ten <= 2,
      },
    ],
    tables: [
      {
        title: `start: ${rounds * runs} runs each, ext4`,
        header: ['', 'median ms', 'minimum ms', 'of node -e 0'],
        rows: Object.keys(samples).map((name) => {
          const { median, minimum } = of(name);
          return [`\`${name}\``, (median * 1000).toFixed(1), (minimum * 1000).toFixed(1), ratio(median / base)];
        }),
      },
    ],
    charts: [
      {
        file: 'start',
        title: 'From the shell prompt and back: median; tick: minimum',
        unit: 'ms',
        panels: [
          {
            title: 'wall time',
            bars: Object.keys(samples).map((name) => {
              const { median, minimum } = of(name);
              return {
                label: name,
                value: median * 1000,
                minimum: minimum * 1000,
                ours: name.startsWith('layerstore'),
              };
            }),
          },
        ],
      },
    ],
    samples,
  });
}

async function fill(root, count) {
  const store = await LayerStore.open({ root });
  try {
    for await (const archive of manyImages(count)) await store.images.load({ path: archive });
    const found = (await store.images.list()).length;
    if (found !== count) throw new Error(`the store has ${found} images, not ${count}`);
  } finally {
    await store.close();
  }
}

/** A sample of several runs; `times` has the wall time of each, in seconds. */
async function hyperfine(argv, report) {
  const command = argv.map((word) => `'${word}'`).join(' ');
  const sample = await measure([
    'hyperfine',
    '-N',
    '--warmup',
    '2',
    '--runs',
    String(runs),
    '--export-json',
    report,
    command,
  ]);
  return { ...sample, times: JSON.parse(readFileSync(report, 'utf8')).results[0].times };
}
