import { describe, expect, test } from 'vitest';
import { buildProgram, loadVerb } from '../program.js';
import { Session } from '../session.js';
import { complete, type Completion } from './candidates.js';

const session = new Session({
  signal: new AbortController().signal,
  exitCode: undefined,
  stopped: Promise.resolve(),
  expectStop: () => undefined,
  explains: () => false,
  leaveCtrlCToProgram: () => undefined,
});

/** Completes the last of `words` with the real definitions of all verbs, over a store of two images and a container. */
async function completeLine(
  ...words: string[]
): Promise<Completion & { values: string[]; roots: (string | undefined)[]; homes: string[] }> {
  const roots: (string | undefined)[] = [];
  const homes: string[] = [];
  const names = (values: readonly string[]) => (root: string | undefined) => {
    roots.push(root);
    return Promise.resolve(values.map((value) => ({ value, description: '' })));
  };
  const completion = await complete(buildProgram(session), words.slice(0, -1), words.at(-1) ?? '', {
    loadVerb: (verb) => loadVerb(verb, session),
    images: names(['debian:12', 'quay.io/a/b:1']),
    containers: names(['build']),
    layers: (home, driver) => {
      homes.push([home, ...(driver === undefined ? [] : [driver])].join(' '));
      return Promise.resolve(['base', 'box'].map((value) => ({ value, description: '' })));
    },
  });
  return { ...completion, values: completion.candidates.map(({ value }) => value), roots, homes };
}

describe('completion', () => {
  test('offers verbs first', async () => {
    const { values } = await completeLine('');
    expect(values).toContain('images');
    expect(values).toContain('completion');
    expect((await completeLine('im')).values).toEqual(['import', 'images']);
  });

  test('offers verbs behind global options and their values', async () => {
    expect((await completeLine('--root', '/srv', '--driver=vfs', 'comm')).values).toEqual(['commit']);
  });

  test('offers the options of a verb, the global ones too', async () => {
    const { values } = await completeLine('images', '--');
    expect(values).toEqual(expect.arrayContaining(['--quiet', '--no-trunc', '--json', '--root', '--progress']));
    expect((await completeLine('images', '--no')).values).toEqual(['--no-trunc']);
  });

  test('offers the choices of an option, in both spellings', async () => {
    expect((await completeLine('save', '--format', 'oci')).values).toEqual(['oci-archive', 'oci-dir']);
    expect((await completeLine('save', '--format=oci')).values).toEqual(['--format=oci-archive', '--format=oci-dir']);
    expect((await completeLine('--progress', '')).values).toEqual(['auto', 'plain', 'json', 'none']);
  });

  test('offers live names where they belong', async () => {
    expect((await completeLine('rmi', '')).values).toEqual(['debian:12', 'quay.io/a/b:1']);
    expect((await completeLine('rmi', 'debian:12', 'q')).values).toEqual(['quay.io/a/b:1']);
    expect((await completeLine('rm', '-f', '')).values).toEqual(['build']);
    expect((await completeLine('inspect', '')).values).toEqual(['build', 'debian:12', 'quay.io/a/b:1']);
    expect((await completeLine('commit', 'build', 'debian')).values).toEqual(['debian:12']);
    expect((await completeLine('umount', '')).values).toEqual(['build']);
  });

  test('asks the store that --root names, wherever it stands', async () => {
    expect((await completeLine('--root', '/a', 'rmi', '')).roots).toEqual(['/a']);
    expect((await completeLine('rmi', '--root=/b', '')).roots).toEqual(['/b']);
    expect((await completeLine('rmi', '')).roots).toEqual([undefined]);
  });

  test('does not touch the store where no name is wanted', async () => {
    for (const words of [[''], ['images', '--'], ['save', '--format', ''], ['load', '']]) {
      expect((await completeLine(...words)).roots).toEqual([]);
    }
  });

  test('offers the verbs of a command that has its own', async () => {
    expect((await completeLine('layer', 'un')).values).toEqual(['unmount']);
    expect((await completeLine('layer', 'ls', '--read')).values).toEqual(['--read-only']);
    expect((await completeLine('layer', 'ls', '--driver', 'ov')).values).toContain('overlay2');
    expect((await completeLine('layer', 'ls', '--home', '')).paths).toBe('directories');
  });

  test('offers the layers of the home that was named, and asks none that was not', async () => {
    const mount = ['layer', 'mount', '--home', '/srv/home'];
    expect(await completeLine(...mount, 'b')).toMatchObject({ values: ['base', 'box'], homes: ['/srv/home'] });
    expect((await completeLine(...mount, '--driver=vfs', '')).homes).toEqual(['/srv/home vfs']);
    expect((await completeLine('layer', 'create', '--home=/a', '--parent', 'ba')).values).toEqual(['base']);
    expect((await completeLine('layer', 'create', '--home=/a', '--parent=ba')).values).toEqual(['--parent=base']);
    expect(await completeLine('layer', 'create', '--home=/a', 'b')).toMatchObject({ values: [], homes: [] });
    expect(await completeLine('layer', 'mount', '')).toMatchObject({ values: [], homes: [] });
  });

  test('leaves files and directories to the shell', async () => {
    expect((await completeLine('load', '-i', '')).paths).toBe('files');
    expect((await completeLine('load', '')).paths).toBe('files');
    expect((await completeLine('save', 'debian:12', '--output=x')).paths).toBe('files');
    expect((await completeLine('images', '--root', '')).paths).toBe('directories');
    expect((await completeLine('tag', 'debian:12', 'x', '')).paths).toBe('none');
  });

  test('behind the name of run, everything belongs to the program', async () => {
    expect((await completeLine('run', '--ke')).values).toEqual(['--keep']);
    expect((await completeLine('run', 'build', '--ke')).values).toEqual([]);
    expect((await completeLine('run', 'build', '--', '')).paths).toBe('files');
  });

  test('offers nothing for what does not exist', async () => {
    expect(await completeLine('nonsense', 'more')).toMatchObject({ values: [], paths: 'none' });
    expect(await completeLine('images', '--nonsense=x')).toMatchObject({ values: [], paths: 'none' });
  });
});
