import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { OpenedHome } from './subject.js';

/** Every path in the home. */
export function homeListing({ driver }: OpenedHome): string[] {
  return readdirSync(driver.home, { recursive: true, encoding: 'utf8' })
    .map((path) => (lstatSync(join(driver.home, path)).isDirectory() ? `${path}/` : path))
    .sort();
}
