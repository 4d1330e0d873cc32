// What a benchmark hands out: a JSON file with every sample, a chart, and a table in README.md.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { barChart, figure } from './chart.mjs';
import { run, summary } from './measure.mjs';
import { versions } from './peers.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/**
 * @typedef {object} Aim
 * @property {string} aim what the project asked for
 * @property {string} reached
 * @property {boolean} met
 */

/**
 * @typedef {object} Report
 * @property {string} name
 * @property {string} command that makes the figures again
 * @property {readonly Aim[]} aims
 * @property {readonly { title: string, header: readonly string[], rows: readonly (readonly string[])[] }[]} tables
 * @property {readonly { file: string, title: string, unit: string, panels: readonly { title: string, bars: readonly import('./chart.mjs').Bar[] }[] }[]} charts
 * @property {unknown} samples
 */

/** @param {Report} report */
export async function publish({ name, command, aims, tables, charts, samples }) {
  mkdirSync(here('results/'), { recursive: true });
  const machine = await describeMachine();
  writeFileSync(here(`results/${name}.json`), `${JSON.stringify({ command, machine, aims, samples }, undefined, 1)}\n`);
  for (const { file, ...chart } of charts) writeFileSync(here(`results/${file}.svg`), barChart(chart));
  const text = [
    `\`${command}\`, on ${machine.date.slice(0, 10)}: ${machine.processors}, ${machine.memory}, Linux ${machine.versions.kernel}, Node ${machine.versions.node}.`,
    ...(aims.length === 0
      ? []
      : [
          markdownTable(
            ['aim', 'reached', ''],
            aims.map(({ aim, reached, met }) => [aim, reached, met ? 'met' : '**missed**']),
          ),
        ]),
    ...charts.map(({ file, title }) => `![${title}](results/${file}.svg)`),
    ...tables.map(({ title, header, rows }) => `### ${title}\n\n${markdownTable(header, rows)}`),
  ].join('\n\n');
  const page = here('README.md');
  const written = replaceSection(readFileSync(page, 'utf8'), name, text);
  writeFileSync(page, await format(written, { ...(await resolveConfig(page)), filepath: page }));
  for (const { title, header, rows } of tables) process.stdout.write(`\n${title}\n${plainTable(header, rows)}\n`);
  for (const { aim, reached, met } of aims) process.stdout.write(`${met ? 'met   ' : 'MISSED'} ${aim}: ${reached}\n`);
}

/** Between two marks, so that the text around it is written by hand. */
function replaceSection(page, name, text) {
  const [begin, end] = [`<!-- ${name}: begin -->`, `<!-- ${name}: end -->`];
  const [start, stop] = [page.indexOf(begin), page.indexOf(end)];
  if (start < 0 || stop < start) throw new Error(`bench/README.md has no section for ${name}`);
  return `${page.slice(0, start + begin.length)}\n\n${text}\n\n${page.slice(stop)}`;
}

function markdownTable(header, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [line(header), line(header.map((_, index) => (index === 0 ? '---' : '--:'))), ...rows.map(line)].join('\n');
}

function plainTable(header, rows) {
  const widths = header.map((_, column) => Math.max(...[header, ...rows].map((row) => row[column].length)));
  const line = (cells) =>
    cells.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column]))).join('  ');
  return [header, ...rows].map(line).join('\n');
}

async function describeMachine() {
  const [first] = cpus();
  return {
    date: new Date().toISOString(),
    processors: `${cpus().length} × ${first?.model.trim() ?? 'unknown'}`,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    load: loadavg().map((value) => Number(value.toFixed(2))),
    commit: (await run(['git', '-C', here('..'), 'rev-parse', '--short', 'HEAD'])).trim(),
    versions: await versions(),
  };
}

/** `0.123 (0.120)`: median and minimum. */
export const medianAndMinimum = ({ median, minimum }) => `${figure(median)} (${figure(minimum)})`;

export const mebibytes = (bytes) => `${Math.round(bytes / 2 ** 20)} MiB`;

/** @param {number} value */
export const ratio = (value) => `${figure(value)}×`;

/**
 * The bars of wall times: median, with a tick at the minimum.
 * @param {Record<string, readonly import('./measure.mjs').Sample[]>} samples
 * @param {(name: string) => boolean} isOurs
 */
export function wallBars(samples, isOurs) {
  return Object.entries(samples).map(([name, list]) => {
    const { median, minimum } = summary(list.map(({ wall }) => wall));
    return { label: name, value: median, minimum, ours: isOurs(name) };
  });
}
