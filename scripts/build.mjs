// Builds every package with the TypeScript compiler, then bundles the command line and the published library.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const run = (program, ...args) => execFileSync(program, args, { cwd: root, stdio: ['ignore', 2, 2] });

run('node_modules/.bin/tsc', '-b');
if (existsSync(new URL('bundle.mjs', import.meta.url))) run(process.execPath, 'scripts/bundle.mjs');
