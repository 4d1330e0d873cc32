import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { commandPath, CommandLine } from './support/command.js';
import { makeDockerArchive } from './support/image.js';
import { isRoot, Scratch } from './support/scratch.js';

interface Coverage {
  readonly result: readonly { readonly url: string }[];
}

describe.skipIf(!isRoot)('of the bundle, a command loads only its own part (needs root)', () => {
  let scratch: Scratch;
  let root: string;

  beforeAll(() => {
    scratch = new Scratch('loaded');
    root = scratch.file('root');
    const layerstore = new CommandLine(root);
    const file = (directory: string): void => writeFileSync(join(directory, 'file'), 'content');
    layerstore.succeed('load', '-i', makeDockerArchive(scratch.path, [file]).path);
    layerstore.succeed('create', 'test', '--name', 'box');
  });
  afterAll(() => scratch[Symbol.dispose]());

  /** The bundle's files that Node evaluates, by what comes before the hash in their names. */
  function loaded(...command: readonly string[]): string[] {
    const coverage = scratch.file(`coverage-${command[0]}`);
    mkdirSync(coverage);
    const { status, stderr } = spawnSync(process.execPath, [commandPath, '--root', root, ...command], {
      env: { ...process.env, NODE_V8_COVERAGE: coverage },
      encoding: 'utf8',
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const [report = ''] = readdirSync(coverage);
    const { result } = JSON.parse(readFileSync(join(coverage, report), 'utf8')) as Coverage;
    const names = result.flatMap(
      ({ url }) => /\/cli\/dist\/(?:chunks|cli)\/(.+?)(?:-[\w-]{8})?\.js$/.exec(url)?.[1] ?? [],
    );
    return names.sort();
  }

  test('`images` no driver, no kernel call and no archive', () => {
    expect(loaded('images')).toEqual(['cli', 'library', 'main']);
  });

  test('`diff` what compares, and nothing that unpacks, compresses or saves', () => {
    expect(loaded('diff', 'box')).toEqual(['cli', 'diff', 'library', 'main', 'reading', 'views']);
  });
});
