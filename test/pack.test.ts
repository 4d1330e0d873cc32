import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const clone = fileURLToPath(new URL('..', import.meta.url));

interface Packed {
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}

/** An empty folder into which the tarball of `npm pack` is installed. */
let folder: string;
let packed: Packed;

const run = (program: string, ...args: string[]): string =>
  execFileSync(program, args, { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'layerstore-pack-'));
  const pack = ['pack', '--json', '--workspace', 'layerstore', '--pack-destination', folder];
  const listed = JSON.parse(
    execFileSync('npm', pack, { cwd: clone, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }),
  ) as readonly Packed[] | Readonly<Record<string, Packed>>;
  packed = Object.values(listed)[0]!;
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'consumer', private: true, type: 'module' }));
  run('npm', 'install', '--no-audit', '--no-fund', '--prefer-offline', `./${packed.filename}`);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the tarball of npm pack', () => {
  test('holds the bundle, the types and the licences, and no source', () => {
    const paths = packed.files.map(({ path }) => path);
    expect(paths).toEqual(
      expect.arrayContaining([
        'dist/cli/main.js',
        'dist/library/index.js',
        'dist/index.d.ts',
        'dist/licenses.txt',
        'LICENSE',
        'README.md',
      ]),
    );
    const expected =
      /^(dist\/(cli|library|chunks|workers)\/[^/]+\.js|dist\/index\.d\.ts|dist\/licenses\.txt|LICENSE|README\.md|package\.json)$/;
    expect(paths.filter((path) => !expected.test(path))).toEqual([]);
  });

  test('has every worker that the code starts', () => {
    const started = packed.files
      .filter(({ path }) => path.endsWith('.js'))
      .flatMap(({ path }) => [
        ...readFileSync(join(folder, 'node_modules/layerstore', path), 'utf8').matchAll(/dist\/workers\/[\w-]+\.js/g),
      ])
      .map(([path]) => path);
    expect(started.length).toBeGreaterThan(0);
    expect(packed.files.map(({ path }) => path)).toEqual(expect.arrayContaining(started));
  });

  test('gives a command that runs', () => {
    expect(run('npx', 'layerstore', 'version')).toMatch(/^layerstore \d+\.\d+\.\d+\n$/);
    const make = `import { LayerStore } from 'layerstore'; await (await LayerStore.open({ root: 'root' })).close();`;
    run(process.execPath, '--input-type=module', '--eval', make);
    expect(run('npx', 'layerstore', 'images', '--root', 'root')).toMatch(
      /^REPOSITORY +TAG +IMAGE ID +CREATED +SIZE\n$/,
    );
  });

  test('gives a library that imports and opens a store', () => {
    const program = `
      import { LayerStore, StoreError, version } from 'layerstore';
      await using store = await LayerStore.open({ root: 'library-root' });
      const failure = await store.images.inspect('nothing').catch((error) => error);
      console.log(version, (await store.images.list()).length, failure instanceof StoreError, failure.code);`;
    writeFileSync(join(folder, 'program.ts'), program);
    execFileSync(
      join(clone, 'node_modules/.bin/esbuild'),
      ['program.ts', '--target=node20', '--format=esm', '--outfile=program.mjs'],
      {
        cwd: folder,
        stdio: 'ignore',
      },
    );
    expect(run(process.execPath, 'program.mjs')).toBe('0.1.0 0 true ERR_IMAGE_NOT_FOUND\n');
  });

  test('gives types that need nothing but those of Node', () => {
    const program = `
      import { LayerStore, hasCode, type ImageSummary, type Progress } from 'layerstore';
      export async function names(root: string): Promise<readonly string[]> {
        await using store = await LayerStore.open({ root });
        const images: ImageSummary[] = await store.images.list();
        const progress: Progress[] = [];
        await store.images.load({ path: 'x.tar' }, { onProgress: (event) => progress.push(event) });
        // @ts-expect-error -- a root is required
        await LayerStore.open({});
        return images.flatMap((image) => image.references);
      }
      export const busy = (error: unknown): boolean => hasCode(error, 'ERR_BUSY');`;
    writeFileSync(join(folder, 'types.ts'), program);
    const options = {
      strict: true,
      noEmit: true,
      module: 'NodeNext',
      target: 'ES2022',
      lib: ['ES2023', 'ESNext.Disposable'],
      skipLibCheck: false,
      typeRoots: [join(clone, 'node_modules/@types')],
      types: ['node'],
    };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, files: ['types.ts'] }));
    expect(run(process.execPath, join(clone, 'node_modules/typescript/bin/tsc'), '-p', folder)).toBe('');
  });
});
