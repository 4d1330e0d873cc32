import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CommandLine } from './support/command.js';
import { Scratch } from './support/scratch.js';

let scratch: Scratch;
let layerstore: CommandLine;

beforeAll(() => {
  scratch = new Scratch('usage');
  layerstore = new CommandLine(scratch.file('root'));
});
afterAll(() => scratch[Symbol.dispose]());

const verbs = [
  ...['load', 'import', 'images', 'inspect', 'history', 'tag', 'save', 'rmi'],
  ...['create', 'mount', 'unmount', 'diff', 'commit', 'export', 'ps', 'rm', 'run'],
  ...['layer', 'info', 'df', 'check', 'prune', 'demo', 'version', 'completion'],
];
const layerVerbs = ['ls', 'info', 'inspect', 'size', 'changes', 'diff', 'mount', 'unmount', 'create', 'apply', 'rm'];

describe('help', () => {
  test('lists every command and exits with 0', () => {
    for (const args of [[], ['--help'], ['help']]) {
      const { code, stdout } = layerstore.run(...args);
      expect(code).toBe(0);
      for (const verb of verbs) expect(stdout).toMatch(new RegExp(`^ +${verb}\\b`, 'm'));
    }
  });

  test.each(verbs)('of %s says what it does, with its options and the global ones', (verb) => {
    const help = layerstore.run(verb, '--help');
    expect(help.code).toBe(0);
    expect(help.stdout).toMatch(new RegExp(`^Usage: layerstore ${verb}`));
    expect(help.stdout).toContain(verb === 'layer' ? '--log-level <level>' : '--root <dir>');
    expect(layerstore.run('help', verb).stdout).toBe(help.stdout);
    if (verb !== 'version') expect(help.stdout).toContain('\nExamples:\n');
  });

  test.each([
    ['serve', 'containerd'],
    ...['ls', 'tree', 'usage', 'orphans'].map((verb) => ['snapshots', verb] as const),
  ] as const)('of %s %s says what it does, with its options and the global ones', (family, verb) => {
    const help = layerstore.run(family, verb, '--help');
    expect(help.code).toBe(0);
    expect(help.stdout).toMatch(new RegExp(`^Usage: layerstore ${family} ${verb}`));
    for (const text of ['--root <dir>', '\nExamples:\n']) expect(help.stdout).toContain(text);
    expect(layerstore.run('help', family, verb).stdout).toBe(help.stdout);
    expect(layerstore.run(family, '--help').stdout).toMatch(new RegExp(`^ +${verb}\\b`, 'm'));
  });

  test.each(['ls', 'cat'])('of cvmfs %s says what it does, and how the repository is reached', (verb) => {
    const help = layerstore.run('cvmfs', verb, '--help');
    expect(help.code).toBe(0);
    expect(help.stdout).toMatch(new RegExp(`^Usage: layerstore cvmfs ${verb}`));
    for (const option of ['--server <url>', '--key <file>', '--cache <dir>', '--tag <name>', '--log-level <level>']) {
      expect(help.stdout).toContain(option);
    }
    expect(help.stdout).not.toContain('--root <dir>');
    expect(help.stdout).toContain('\nExamples:\n');
    expect(layerstore.run('help', 'cvmfs', verb).stdout).toBe(help.stdout);
    expect(layerstore.run('cvmfs', '--help').stdout).toMatch(new RegExp(`^ +${verb}\\b`, 'm'));
  });

  test.each(layerVerbs)('of layer %s says what it does, and how the home is named', (verb) => {
    const help = layerstore.run('layer', verb, '--help');
    expect(help.code).toBe(0);
    expect(help.stdout).toMatch(new RegExp(`^Usage: layerstore layer ${verb}`));
    for (const option of ['--home <dir>', '--driver <name>', '--read-only', '--log-level <level>']) {
      expect(help.stdout).toContain(option);
    }
    expect(help.stdout).not.toContain('--root');
    expect(help.stdout).toContain('\nExamples:\n');
    expect(layerstore.run('help', 'layer', verb).stdout).toBe(help.stdout);
  });
});

describe('a command that is not understood', () => {
  test.each([
    ['an unknown command', ['imagse'], "layerstore: unknown command 'imagse'\nhint: did you mean images? "],
    ['an unknown option', ['images', '--quite'], "layerstore: unknown option '--quite'\nhint: did you mean --quiet? "],
    ['a missing argument', ['tag', 'x'], "layerstore: missing required argument 'REFERENCE'\nhint: "],
    ['an argument too many', ['images', 'x'], "layerstore: too many arguments for 'images'"],
    [
      'a value that is no choice',
      ['--progress', 'fast', 'images'],
      "layerstore: option '--progress <mode>' argument 'fast'",
    ],
    ['a pair without a value', ['--storage-opt', 'size', 'images'], 'layerstore: --storage-opt size: not of the form'],
    ['no archive', ['load'], 'layerstore: no archive was named\nhint: '],
    ['two archives', ['load', 'a', '-i', 'b'], 'layerstore: FILE and --input name the same thing twice'],
    [
      'a layout on stdout',
      ['save', 'x', '--format', 'oci-dir'],
      'layerstore: --format oci-dir writes a directory\nhint: ',
    ],
    ['an unknown verb of layer', ['layer', 'mnt'], "layerstore: unknown command 'mnt'\nhint: "],
    ['no home', ['layer', 'ls'], "layerstore: required option '--home <dir>' not specified\nhint: "],
    [
      'a driver that there is not',
      ['layer', 'ls', '--home', '/', '--driver', 'x'],
      "layerstore: option '--driver <name>'",
    ],
    ['help for an unknown verb of layer', ['help', 'layer', 'mnt'], "layerstore: unknown command 'mnt'\nhint: "],
    [
      'help for an unknown command',
      ['help', 'imagse'],
      "layerstore: unknown command 'imagse'\nhint: did you mean images? ",
    ],
  ])('with %s exits with 125 and says what would be right', (_, args, message) => {
    const { code, stdout, stderr } = layerstore.run(...args);
    expect(code).toBe(125);
    expect(stdout).toBe('');
    expect(stderr.startsWith(message), stderr).toBe(true);
    expect(stderr.split('\n').length).toBeLessThanOrEqual(3);
  });
});

test('a mistyped root is not made', () => {
  const { code, stderr } = layerstore.run('images', '--root', scratch.file('mistyped'));
  expect(code).toBe(1);
  expect(stderr).toMatch(/^layerstore: .*mistyped: there is no layerstore root here\nhint: /);
  expect(existsSync(scratch.file('mistyped'))).toBe(false);
});

test('version prints one line, or a record', () => {
  expect(layerstore.succeed('version')).toMatch(/^layerstore \d+\.\d+\.\d+\n$/);
  expect(layerstore.succeed('--version')).toBe(layerstore.succeed('version'));
  expect(layerstore.json('version')).toMatchObject({ node: process.versions.node });
});

test('an archive is not written to a terminal', () => {
  const { code, stdout } = layerstore.shell('script --quiet --return --command "$layerstore save x" /dev/null');
  expect(code).toBe(125);
  expect(stdout).toContain('stdout is a terminal: an archive is not written to it');
});

test('an archive is not awaited from a terminal', () => {
  const { code, stdout } = layerstore.shell('script --quiet --return --command "$layerstore load -" /dev/null');
  expect(code).toBe(125);
  expect(stdout).toContain('stdin is a terminal');
});
