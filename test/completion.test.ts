import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CommandLine, commandPath } from './support/command.js';
import { makeDockerArchive, threeLayers } from './support/image.js';
import { isRoot, Scratch } from './support/scratch.js';

/** A directory in PATH with `layerstore`, the scripts, and files to complete. */
let directory: string;
let environment: NodeJS.ProcessEnv;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'layerstore-completion-'));
  symlinkSync(commandPath, join(directory, 'layerstore'));
  for (const shell of ['bash', 'zsh', 'fish']) {
    writeFileSync(
      join(directory, `script.${shell}`),
      execFileSync(process.execPath, [commandPath, 'completion', shell]),
    );
  }
  writeFileSync(join(directory, 'archive one.tar'), '');
  environment = {
    ...process.env,
    PATH: `${directory}:${process.env['PATH'] ?? ''}`,
    HOME: directory,
    LAYERSTORE_ROOT: join(directory, 'no-root'),
  };
});
afterAll(() => rmSync(directory, { recursive: true }));

const has = (program: string): boolean => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;

function runShell(shell: string, ...args: string[]): string {
  const result = spawnSync(shell, args, { cwd: directory, env: environment, encoding: 'utf8' });
  expect(result.stderr).toBe('');
  return result.stdout;
}

/** What bash would offer at the end of `line`, and where it would replace it from. */
function offeredByBash(line: string): string[] {
  const program = `source script.bash; COMP_LINE=$1 COMP_POINT=\${#1} _layerstore; printf '%s\\n' "\${COMPREPLY[@]}"`;
  return runShell('bash', '--norc', '-c', program, 'bash', line)
    .split('\n')
    .filter((value) => value !== '');
}

describe.skipIf(!has('bash'))('bash completion (needs bash)', () => {
  test('offers verbs and options', () => {
    expect(offeredByBash('layerstore im')).toEqual(['import', 'images']);
    expect(offeredByBash('layerstore images --no-')).toEqual(['--no-trunc']);
  });

  test('offers only what stands behind a colon or an equals sign, as bash replaces only that', () => {
    expect(offeredByBash('layerstore save --format=oci-a')).toEqual(['oci-archive']);
  });

  test('offers files where files are wanted, whatever their names', () => {
    expect(offeredByBash('layerstore load -i arch')).toEqual(['archive one.tar']);
  });

  test('never runs what was typed', () => {
    offeredByBash('layerstore rmi $(touch executed) `touch executed` ; touch executed; ');
    expect(runShell('ls', directory)).not.toContain('executed');
  });
});

describe.skipIf(!isRoot || !has('bash'))('names of the store in bash completion (needs root and bash)', () => {
  let scratch: Scratch;
  beforeAll(() => {
    scratch = new Scratch('completion');
    const layerstore = new CommandLine(scratch.file('root'));
    layerstore.succeed('load', makeDockerArchive(scratch.path, threeLayers, { reference: 'quay.io/a/test:1.2' }).path);
    layerstore.succeed('create', 'quay.io/a/test:1.2', '--name', 'box');
  });
  afterAll(() => scratch[Symbol.dispose]());

  test.each([
    ['rmi ', ['quay.io/a/test:1.2']],
    ['rmi quay.io/a/test:', ['1.2']],
    ['rm ', ['box']],
    ['inspect b', ['box']],
  ])('are offered behind "%s"', (words, expected) => {
    expect(offeredByBash(`layerstore --root=${scratch.file('root')} ${words}`)).toEqual(expected);
  });
});

describe.skipIf(!has('fish'))('fish completion (needs fish)', () => {
  const offered = (line: string): string[] =>
    runShell('fish', '--no-config', '-c', 'source script.fish; complete -C $argv[1]', line)
      .split('\n')
      .filter((value) => value !== '');

  test('offers verbs with their summaries', () => {
    expect(offered('layerstore images')).toEqual(['images\tList images']);
  });

  test('offers choices behind an equals sign, and files', () => {
    expect(offered('layerstore save --format=oci-a')).toEqual(['--format=oci-archive']);
    expect(offered('layerstore load -i arch')).toEqual(['archive one.tar']);
  });
});

describe.skipIf(!has('zsh'))('zsh completion (needs zsh)', () => {
  /** What a real zsh writes to its terminal, up to `expected`, when Ctrl-D asks it to list what could follow `line`. */
  function listed(line: string, expected: string): string {
    const program = `
      zmodload zsh/zpty
      zpty shell 'TERM=xterm COLUMNS=200 zsh -f -i'
      zpty -w shell 'autoload -Uz compinit; compinit -u -D; source script.zsh; PS1=rea""dy'
      zpty -r -m shell answer '*ready*'
      zpty -n -w shell $'${line}\\C-D'
      zpty -r -m shell answer '*${expected}*'
      print -r -- $answer
      zpty -d shell`;
    const result = spawnSync('zsh', ['-f', '-c', program], {
      cwd: directory,
      env: environment,
      encoding: 'utf8',
      timeout: 240_000,
    });
    return result.stdout;
  }

  test('lists verbs with their summaries', () => {
    expect(listed('layerstore im', 'List images')).toMatch(/images +-- List images/);
  });

  test('lists files where files are wanted', () => {
    expect(listed('layerstore load -i arch', 'one.tar')).toContain('archive');
  });
});
