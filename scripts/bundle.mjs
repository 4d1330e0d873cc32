// Bundles what the tarball of `layerstore` holds, from the compiled packages:
//
//   packages/cli/dist/cli/main.js       the command
//   packages/cli/dist/library/index.js  the library
//   packages/cli/dist/workers/*.js      the entries of worker threads
//   packages/cli/dist/chunks/*.js       what they share, and what is loaded only when it is needed
//   packages/cli/dist/index.d.ts        the library's types in one file
//   packages/cli/dist/licenses.txt      of the packages of others that became part of it
//
// Every module lies exactly one folder below dist: workers are found as `../../dist/workers/NAME.js` from the module that
// starts them, whichever chunk that ends in.
//
// Start time decides how modules are grouped: reading one more file costs about half a millisecond, so what always runs together is one
// chunk. `layerstore images` reads three files: the entry, `cli` and `library`; `layerstore diff` its own module, `views` and `reading`
// besides, and nothing of what unpacks, compresses and saves.
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build, transform } from 'esbuild';
import { rollup } from 'rollup';
import { dts } from 'rollup-plugin-dts';

const root = fileURLToPath(new URL('..', import.meta.url));
const cli = join(root, 'packages/cli');
const compiled = join(cli, 'dist/tsc');
const dist = join(cli, 'dist');
const manifest = JSON.parse(readFileSync(join(cli, 'package.json'), 'utf8'));
const installed = new Set(Object.keys(manifest.dependencies));
const target = 'node20.19';

/** Worker entries of every package but the cli: `workers/NAME` -> file. Those files count that some module starts by URL. */
function workerEntries() {
  const entries = {};
  for (const name of readdirSync(join(root, 'packages'))) {
    const code = join(root, 'packages', name, 'dist');
    const workers = join(code, 'workers');
    if (name === 'cli' || !existsSync(workers)) continue;
    const text = readdirSync(code, { recursive: true })
      .filter((file) => file.endsWith('.js'))
      .map((file) => readFileSync(join(code, file), 'utf8'))
      .join('\n');
    for (const file of readdirSync(workers)) {
      if (!file.endsWith('.js') || !text.includes(`../../dist/workers/${file}`)) continue;
      const entry = `workers/${basename(file, '.js')}`;
      if (entry in entries) throw new Error(`two packages have a worker ${file}: only one can be dist/${entry}.js`);
      entries[entry] = join(workers, file);
    }
  }
  return entries;
}

/** A compiled module of one of our packages. */
const ours = (path) => join(root, 'packages', path);

/** Packages of others ask for them also without `node:`. */
const isNodeModule = isBuiltin;
const isInstalled = (id) => installed.has(id);

/** Finds our own packages by their directory. `kind` is `index.js` or `index.d.ts`. */
const ourPackages = (kind) => ({
  name: 'our-packages',
  resolveId(id) {
    const name = /^@layerstore\/(\w+)$/.exec(id)?.[1];
    return name === undefined ? null : { id: join(root, 'packages', name, 'dist', kind), moduleSideEffects: false };
  },
});

/**
 * Makes rollup take a module whole that is loaded by a path of its own: of one whose names it sees taken apart (`const { f } = await import(...)`) it
 * forgets these calls when it looks with what arguments functions are called, and takes a parameter for a constant that is none.
 */
const wholeImports = {
  name: 'whole-imports',
  transform(code, id) {
    if (!id.startsWith(join(root, 'packages/'))) return null;
    const whole = code.replace(/\bimport\(('|")(\.[^'"]+)\1\)/g, 'import($1$2$1).then((all) => all)');
    return whole === code ? null : { code: whole, map: null };
  },
};

/** The names that Node lets other modules import from a CommonJS module. */
async function namesOf(path) {
  const names = Object.keys(await import(pathToFileURL(path)));
  return names.filter((name) => /^[A-Za-z_$][\w$]*$/.test(name) && name !== 'default');
}

/** esbuild makes one export, the default, of a CommonJS module. */
function withNamedExports(code, names) {
  const renamed = names.map((name) => `${name}: export_${name}`).join(', ');
  const list = names.map((name) => `export_${name} as ${name}`).join(', ');
  return code.replace(
    /^export default (require_\w+\(\));$/m,
    (_, call) =>
      `const exported = ${call};\nexport default exported;\nconst { ${renamed} } = exported;\nexport { ${list} };`,
  );
}

/** Whether a file holds an ES module, by the nearest package.json; two bundles of one would be two sets of symbols. */
function isModule(path) {
  if (/\.[cm]js$/.test(path)) return path.endsWith('.mjs');
  let folder = dirname(path);
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).type === 'module';
}

/** Directories of the packages that esbuild found inside others. */
const includedPackages = new Set();
const packageOf = (path) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? [];

/** Other packages that are not installed with ours become part of the bundle; esbuild turns CommonJS into modules. */
const foreignPackages = {
  name: 'foreign-packages',
  resolveId(id, importer) {
    if (importer === undefined || id.startsWith('.') || id.startsWith('/') || isNodeModule(id) || isInstalled(id))
      return null;
    const path = fileURLToPath(import.meta.resolve(id, new URL(`file://${importer}`)));
    return { id: path, moduleSideEffects: false };
  },
  async load(id) {
    if (!id.includes('/node_modules/') || isModule(id)) return null;
    const { outputFiles, metafile } = await build({
      entryPoints: [id],
      bundle: true,
      format: 'esm',
      platform: 'node',
      target,
      write: false,
      metafile: true,
      absWorkingDir: root,
      // CommonJS asks for modules of Node by `require`, which ES modules have to make first.
      banner: { js: "import { createRequire } from 'node:module';\nconst require = createRequire(import.meta.url);" },
    });
    for (const path of Object.keys(metafile.inputs)) includedPackages.add(packageOf(join(root, path)));
    const [{ text }] = outputFiles;
    const code = /\b__require\(/.test(text) ? text : text.replace(/^import .*\n.*\n/, '');
    return withNamedExports(code, await namesOf(id));
  },
};

/**
 * Modules that are needed when `entries` are imported: everything but what is behind a dynamic import. Through the index of
 * a package only those modules count whose exports are imported, because the rest is not evaluated in a bundle.
 */
function staticClosure(entries, getModuleInfo) {
  const closure = new Set();
  const waiting = [...entries];
  for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
    if (closure.has(id) || getModuleInfo(id)?.ast == null) continue;
    closure.add(id);
    for (const { from, names } of importsOf(getModuleInfo(id))) {
      if (!isIndex(from) || names === undefined) waiting.push(from);
      else waiting.push(...names.map((name) => exporterOf(from, name, getModuleInfo)));
    }
  }
  return closure;
}

const isIndex = (id) => /\/packages\/\w+\/dist\/index\.js$/.test(id);

/** The imports and exports-from of a module; `names` is undefined for all of them. */
function importsOf({ id, ast, importedIds }) {
  const statements = ast.body.filter(({ source }) => source);
  const sources = [...new Set(statements.map(({ source }) => source.value))];
  if (sources.length !== importedIds.length) throw new Error(`${id}: imports cannot be told apart`);
  return statements.map(({ type, source, specifiers }) => {
    const named =
      type !== 'ExportAllDeclaration' && specifiers.every(({ type }) => /^(Import|Export)Specifier$/.test(type));
    return {
      from: importedIds[sources.indexOf(source.value)],
      all: type === 'ExportAllDeclaration',
      names: named
        ? specifiers.map(({ type, imported, local }) => (type === 'ImportSpecifier' ? imported : local).name)
        : undefined,
      exported: named ? specifiers.map(({ exported }) => exported?.name) : undefined,
    };
  });
}

/** The module behind an index that has the export `name`. */
function exporterOf(id, name, getModuleInfo) {
  const found = findExporter(id, name, getModuleInfo);
  if (found === undefined) throw new Error(`${id} does not export ${name}`);
  return found;
}

function findExporter(id, name, getModuleInfo) {
  const info = getModuleInfo(id);
  if (info.ast == null) return undefined;
  const imports = importsOf(info);
  const direct = imports.find(({ exported }) => exported?.includes(name));
  if (direct !== undefined) return direct.from;
  if (info.exports?.includes(name)) return id;
  const stars = imports.filter(({ all }) => all).map(({ from }) => findExporter(from, name, getModuleInfo));
  return stars.find((exporter) => exporter !== undefined);
}

/** Threads of servers run beside the server's own code; archive threads start often and load only what they need. */
const isServerWorker = (path) => path.includes('/packages/daemon/');
const otherWorkers = (workers) => Object.values(workers).filter((path) => !isServerWorker(path));

/** What every server needs, and then what each one needs that the index of `daemon` loads when it is asked to serve. */
function serverClosures(workers, getModuleInfo) {
  const index = join(root, 'packages/daemon/dist/index.js');
  const shared = staticClosure([index], getModuleInfo);
  const servers = [...shared].flatMap((id) =>
    id.includes('/packages/daemon/') ? getModuleInfo(id).dynamicallyImportedIds : [],
  );
  const threads = Object.values(workers).filter(isServerWorker);
  return [
    ['daemon', shared],
    ['server-threads', staticClosure(threads, getModuleInfo)],
    ...servers.map((id) => [basename(dirname(id)), staticClosure([id], getModuleInfo)]),
  ];
}

/** Puts each module into the chunk of those that it runs together with. */
function chunking(workers) {
  let library;
  let start;
  let reading;
  let views;
  let worker;
  let daemon;
  return (id, { getModuleInfo }) => {
    // The command waits at its top level for the verb that it imports: nothing that a verb needs may lie in the same file.
    if (getModuleInfo(id).isEntry) return undefined;
    library ??= staticClosure([join(compiled, 'layer-store.js')], getModuleInfo);
    start ??= staticClosure([join(compiled, 'main.js'), join(compiled, 'commands/images.js')], getModuleInfo);
    reading ??= staticClosure([ours('archive/dist/workers/brief-jobs.js')], getModuleInfo);
    views ??= staticClosure([ours('store/dist/parts.js'), ours('store/dist/containers/changes.js')], getModuleInfo);
    worker ??= staticClosure(otherWorkers(workers), getModuleInfo);
    if (library.has(id)) return 'library';
    if (start.has(id)) return 'cli';
    if (reading.has(id)) return 'reading';
    if (views.has(id)) return 'views';
    if (worker.has(id)) return 'work';
    if (isOfRegistries(id)) return 'registry';
    if (id.startsWith(join(root, 'packages/cvmfs/dist/'))) return 'cvmfs';
    daemon ??= serverClosures(workers, getModuleInfo);
    for (const [name, closure] of daemon) if (closure.has(id)) return name;
    if (!id.startsWith(compiled)) return 'operations';
    const isEntry = getModuleInfo(id).dynamicImporters.length > 0;
    const isApart = /\/(demo|completion|layer|cvmfs)\/[^/]+$/.test(id.slice(compiled.length));
    return isEntry || isApart ? undefined : 'cli';
  };
}

/** The registry client with HTTP and TLS, which only `pull`, `push` and `inspect --remote` wait for, and what it takes from others. */
const isOfRegistries = (id) =>
  id.startsWith(join(root, 'packages/oci/dist/registry/')) ||
  id.startsWith(join(compiled, 'registry/')) ||
  /\/node_modules\/(https?-proxy-agent|agent-base|debug|smol-toml)\//.test(id);

async function bundleCode() {
  const workers = workerEntries();
  const bundle = await rollup({
    input: { 'cli/main': join(compiled, 'main.js'), 'library/index': join(compiled, 'index.js'), ...workers },
    external: (id) => isNodeModule(id) || isInstalled(id),
    plugins: [ourPackages('index.js'), foreignPackages, wholeImports],
    onwarn: refuseWarnings,
  });
  const { output } = await bundle.generate({
    format: 'es',
    entryFileNames: '[name].js',
    chunkFileNames: 'chunks/[name]-[hash].js',
    manualChunks: chunking(workers),
    hoistTransitiveImports: false,
    minifyInternalExports: false,
  });
  await bundle.close();
  const modules = output.flatMap((chunk) => Object.keys(chunk.modules));
  const files = output.map(async ({ fileName, code }) => {
    const options = { target, format: 'esm', minifyWhitespace: true, minifySyntax: true, legalComments: 'none' };
    const smaller = await transform(code, options);
    const shebang = fileName === 'cli/main.js' ? '#!/usr/bin/env node\n' : '';
    return [join(dist, fileName), shebang + smaller.code];
  });
  return [licenses(modules), ...(await Promise.all(files))];
}

/** The types of the library, with those of our own packages taken in. */
async function bundleTypes() {
  const bundle = await rollup({
    input: join(compiled, 'index.d.ts'),
    external: (id) => !id.startsWith('.') && !id.startsWith('/') && !id.startsWith('@layerstore/'),
    plugins: [ourPackages('index.d.ts'), dts()],
    onwarn: refuseWarnings,
  });
  const { output } = await bundle.generate({ format: 'es' });
  await bundle.close();
  return [[join(dist, 'index.d.ts'), output[0].code]];
}

/** The licences of the packages that `modules` come from, which their authors want to go with every copy. */
function licenses(modules) {
  const directories = new Set([...modules.flatMap(packageOf), ...[...includedPackages].flat()]);
  const texts = [...directories].sort().map((directory) => {
    const { name, version, license } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'));
    const file = readdirSync(directory).find((entry) => /^licen[cs]e/i.test(entry));
    const text =
      file === undefined ? noticesIn(modules, directory) : readFileSync(join(directory, file), 'utf8').trim();
    return `${name} ${version} (${license})\n\n${text}\n`;
  });
  return [join(dist, 'licenses.txt'), texts.join(`\n${'-'.repeat(80)}\n\n`)];
}

/** The copyright notices at the head of a package's files, for a package without a licence file. */
function noticesIn(modules, directory) {
  const files = modules.filter((id) => id.startsWith(`${directory}/`));
  const notices = files.flatMap((file) => /^(?:\/\/.*\n)+/.exec(readFileSync(file, 'utf8'))?.[0] ?? []);
  const found = [...new Set(notices.filter((notice) => notice.includes('Copyright')))];
  if (found.length === 0) throw new Error(`${directory} has neither a licence file nor notices`);
  return found.map((notice) => notice.replace(/^\/\/ ?/gm, '').trim()).join('\n\n');
}

function refuseWarnings(warning) {
  // The compiler's helpers for `await using` begin with `this && this.name`, which rollup rewrites as it should.
  if (warning.code === 'THIS_IS_UNDEFINED') return;
  // How others cut their packages is theirs to decide.
  if (warning.code === 'CIRCULAR_DEPENDENCY' && warning.ids?.every((id) => id.includes('/node_modules/'))) return;
  throw new Error(`bundle: ${warning.message}`);
}

/**
 * Files appear whole and the command's entry last, because it says that the build is complete. Files of an earlier build
 * go after that: a layerstore that runs meanwhile may still load one.
 */
function write(files) {
  const isEntry = ([path]) => path.endsWith('/cli/main.js');
  for (const [path, text] of [...files.filter((file) => !isEntry(file)), ...files.filter(isEntry)]) {
    if (relative(dist, path).split('/').length > 2) throw new Error(`${path} is not one folder below dist`);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(`${path}.new`, text, { mode: isEntry([path]) ? 0o755 : 0o644 });
    renameSync(`${path}.new`, path);
  }
  const written = new Set(files.map(([path]) => path));
  for (const folder of ['cli', 'library', 'chunks', 'workers']) {
    for (const name of existsSync(join(dist, folder)) ? readdirSync(join(dist, folder)) : []) {
      if (!written.has(join(dist, folder, name))) rmSync(join(dist, folder, name));
    }
  }
}

write([...(await bundleTypes()), ...(await bundleCode())]);
