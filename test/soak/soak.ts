/** What the soak tests have in common: how long they run, what chances they take, and the record of their last result. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const page = fileURLToPath(new URL('../../docs/soak.md', import.meta.url));

/** Minutes for each soak test: `LAYERSTORE_SOAK_MINUTES`, default 3. */
export const soakMinutes = Number(process.env['LAYERSTORE_SOAK_MINUTES'] ?? 3);

/** Repeats `round` until the time is over; at least once. @returns the number of rounds */
export async function untilTimeIsOver(round: (number: number) => Promise<void>): Promise<number> {
  const end = Date.now() + soakMinutes * 60_000;
  let number = 0;
  do {
    await round(number);
    number += 1;
  } while (Date.now() < end);
  return number;
}

/** A number from 0 to below `bound`. */
export const chance = (bound: number): number => Math.floor(Math.random() * bound);

export function oneOf<T>(list: readonly T[]): T {
  const chosen = list[chance(list.length)];
  if (chosen === undefined) throw new Error('nothing to choose from');
  return chosen;
}

/** Puts the result into docs/soak.md, in place of the last one of the same test. */
export function record(test: string, result: string): void {
  const line = `- **${test}** (${new Date().toISOString().slice(0, 10)}, ${soakMinutes} min): ${result}`;
  const lines = readFileSync(page, 'utf8').trimEnd().split('\n');
  const at = lines.findIndex((old) => old.startsWith(`- **${test}**`));
  if (at === -1) lines.push(...(lines.at(-1)?.startsWith('- **') === true ? [] : ['']), line);
  else lines[at] = line;
  writeFileSync(page, `${lines.join('\n')}\n`);
}
