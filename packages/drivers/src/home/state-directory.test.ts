import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { stateDirectory } from './state-directory.js';

describe.skipIf(process.geteuid?.() !== 0)('the state directory of a home (needs root)', () => {
  let directory: string;
  const made = new Set<string>();
  beforeEach(() => {
    directory = realpathSync(mkdtempSync(join(tmpdir(), 'layerstore-state-')));
    mkdirSync(join(directory, 'home'));
  });
  afterEach(() => {
    for (const path of [directory, ...made]) rmSync(path, { recursive: true, force: true });
  });
  const stateOf = (home: string): string => {
    const path = stateDirectory(home);
    made.add(path);
    return path;
  };

  test('lies in /run/layerstore, is for root only, and tells the home', () => {
    const state = stateOf(join(directory, 'home'));
    expect(state).toMatch(/^\/run\/layerstore\/[0-9a-f]{32}$/);
    expect(statSync(state).mode & 0o777).toBe(0o700);
    expect(readFileSync(join(state, 'home'), 'utf8')).toBe(`${join(directory, 'home')}\n`);
  });

  test('is the same whatever path leads to the home', () => {
    symlinkSync('home', join(directory, 'link'));
    expect(stateOf(join(directory, 'link'))).toBe(stateOf(join(directory, 'home')));
  });

  test('is another one for another directory at the same path', () => {
    const first = stateOf(join(directory, 'home'));
    rmSync(join(directory, 'home'), { recursive: true });
    mkdirSync(join(directory, 'in between'));
    mkdirSync(join(directory, 'home'));
    expect(stateOf(join(directory, 'home'))).not.toBe(first);
  });

  test('of a home that does not exist is an error, and nothing is made', () => {
    expect(() => stateDirectory(join(directory, 'absent'))).toThrow(
      expect.objectContaining({ subject: join(directory, 'absent') }),
    );
  });
});
