import { readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, test } from 'vitest';

/** The rooms of the design, from the top: a package imports only packages above it. */
const rooms = ['core', 'sqlite', 'linux', 'archive', 'drivers', 'oci', 'cvmfs', 'store', 'daemon', 'cli'];

const packages = fileURLToPath(new URL('../packages', import.meta.url));
const testSupport = fileURLToPath(new URL('support/', import.meta.url));
const names = readdirSync(packages);

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const readJson = (path: string): unknown => JSON.parse(readFileSync(path, 'utf8'));

function declared(name: string): string[] {
  const manifest = readJson(join(packages, name, 'package.json')) as Manifest;
  return [
    manifest.dependencies,
    manifest.devDependencies,
    manifest.peerDependencies,
    manifest.optionalDependencies,
  ].flatMap((block) => Object.keys(block ?? {}));
}

interface Import {
  readonly file: string;
  readonly specifier: string;
}

/** Every import, export-from, dynamic import and require of a package's sources, as the TypeScript scanner finds them. */
function imports(name: string, tests: 'with tests' | 'without tests'): Import[] {
  const source = join(packages, name, 'src');
  return readdirSync(source, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && (tests === 'with tests' || !file.endsWith('.test.ts')))
    .flatMap((file) => {
      const text = readFileSync(join(source, file), 'utf8');
      return ts.preProcessFile(text, true, true).importedFiles.map(({ fileName }) => ({
        file: join(source, file),
        specifier: fileName,
      }));
    });
}

/** `@layerstore/core` -> `core`; anything that is not one of our packages -> undefined. */
function roomOf(specifier: string): string | undefined {
  return specifier === 'layerstore' ? 'cli' : /^@layerstore\/([^/]+)$/.exec(specifier)?.[1];
}

const mayImport = (from: string, to: string): boolean => rooms.includes(to) && rooms.indexOf(to) < rooms.indexOf(from);

const show = ({ file, specifier }: Import): string => `${relative(packages, file)} imports ${specifier}`;

describe('the import graph', () => {
  test('every directory of packages/ is a room of the design', () => {
    expect(names.filter((name) => !rooms.includes(name))).toEqual([]);
  });

  describe.each(names)('%s', (name) => {
    test('declares only packages above it', () => {
      const ours = declared(name).map(roomOf);
      expect(ours.filter((room) => room !== undefined && !mayImport(name, room))).toEqual([]);
    });

    test('imports only packages above it, also in its tests', () => {
      const wrong = imports(name, 'with tests').filter(({ specifier }) => {
        const room = roomOf(specifier);
        return room !== undefined && !mayImport(name, room);
      });
      expect(wrong.map(show)).toEqual([]);
    });

    test('reaches another package by its name, never by a path into it', () => {
      const wrong = imports(name, 'with tests').filter(({ file, specifier }) => {
        const inside = join(packages, name, 'src');
        const target = resolve(file, '..', specifier);
        const support = file.endsWith('.test.ts') && target.startsWith(testSupport);
        const escapes = specifier.startsWith('.') && !support && relative(inside, target).startsWith('..');
        const deep = /^@layerstore\/[^/]+\//.test(specifier);
        return escapes || deep;
      });
      expect(wrong.map(show)).toEqual([]);
    });

    test('declares every package that it imports', () => {
      const known = new Set(declared(name));
      const wrong = imports(name, 'without tests').filter(({ specifier }) => {
        if (specifier.startsWith('.') || specifier.startsWith('node:')) return false;
        const parts = specifier.split('/');
        return !known.has(specifier.startsWith('@') ? parts.slice(0, 2).join('/') : parts[0]!);
      });
      expect(wrong.map(show)).toEqual([]);
    });

    test('names the modules of Node with the node: prefix', () => {
      const wrong = imports(name, 'with tests').filter(({ specifier }) => builtinModules.includes(specifier));
      expect(wrong.map(show)).toEqual([]);
    });

    test('is compiled after the packages that it declares', () => {
      const config = readJson(join(packages, name, 'tsconfig.json')) as { references: { path: string }[] };
      const referenced = config.references.map(({ path }) => path.replace('../', '')).sort();
      const needed = declared(name).flatMap((specifier) => roomOf(specifier) ?? []);
      expect(referenced).toEqual(needed.sort());
    });
  });
});
