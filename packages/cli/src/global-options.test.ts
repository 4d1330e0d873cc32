import { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { addGlobalOptions, collect, readGlobalOptions, type GlobalOptions } from './global-options.js';

function parse(args: string[], environment: NodeJS.ProcessEnv = {}): GlobalOptions {
  const program = new Command().enablePositionalOptions().exitOverride();
  addGlobalOptions(program);
  let read: GlobalOptions | undefined;
  const verb = program.command('verb').action(() => {
    read = readGlobalOptions(verb, environment);
  });
  addGlobalOptions(verb);
  const own = program
    .command('create')
    .option('--storage-opt <key=value>', 'own', collect)
    .action(() => {
      read = readGlobalOptions(own, environment);
    });
  addGlobalOptions(own);
  program.parse(args, { from: 'user' });
  if (read === undefined) throw new Error('no verb was run');
  return read;
}

describe('global options', () => {
  test('have defaults', () => {
    expect(parse(['verb'])).toEqual({
      root: '/var/lib/layerstore',
      driver: undefined,
      storageOptions: undefined,
      progress: 'auto',
      logLevel: 'warn',
    });
  });

  test('stand before or after the verb; after wins', () => {
    expect(parse(['--root', '/a', 'verb']).root).toBe('/a');
    expect(parse(['verb', '--root', '/b']).root).toBe('/b');
    expect(parse(['--root', '/a', 'verb', '--root', '/b']).root).toBe('/b');
  });

  test('take the root from LAYERSTORE_ROOT when none is given', () => {
    expect(parse(['verb'], { LAYERSTORE_ROOT: '/env' }).root).toBe('/env');
    expect(parse(['--root', '/a', 'verb'], { LAYERSTORE_ROOT: '/env' }).root).toBe('/a');
    expect(parse(['verb'], { LAYERSTORE_ROOT: '' }).root).toBe('/var/lib/layerstore');
  });

  test('gather storage options', () => {
    const options = parse(['--storage-opt', 'a=1', 'verb', '--storage-opt', 'b=x=y']);
    expect(options.storageOptions).toEqual({ a: '1', b: 'x=y' });
  });

  test('leave alone an option of the same name that a verb has for itself', () => {
    const options = parse(['--storage-opt', 'a=1', 'create', '--storage-opt', 'size=1G']);
    expect(options.storageOptions).toEqual({ a: '1' });
  });

  test('refuse a storage option without a value and an empty root', () => {
    expect(() => parse(['--storage-opt', 'size', 'verb'])).toThrow(/not of the form KEY=VALUE/);
    expect(() => parse(['--root', '', 'verb'])).toThrow(/--root is empty/);
  });
});
