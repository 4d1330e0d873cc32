// The project's test command: sets everything up, then runs vitest.
//
//   npm test                         every test but the soak
//   npm test -- packages/archive     only files whose path contains this; any option of `vitest run` may follow
//   npm test -- --unit               only the tests beside the code
//   npm test -- --soak               the long runs in test/soak
//   npm test -- --node PATH          with another node binary (the build is made by the current one)
//   npm test -- --no-setup           what is there is used as it is
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const args = process.argv.slice(2);

const takeFlag = (name) => {
  const at = args.indexOf(name);
  if (at === -1) return false;
  args.splice(at, 1);
  return true;
};
const takeValue = (name) => {
  const at = args.indexOf(name);
  if (at === -1) return undefined;
  const [, value] = args.splice(at, 2);
  if (value !== undefined) return value;
  process.stderr.write(`${name} needs a value\n`);
  process.exit(125);
};

const node = takeValue('--node') ?? process.execPath;
const soak = takeFlag('--soak');
const unit = takeFlag('--unit');
const setup = !takeFlag('--no-setup');

if (setup) {
  const made = spawnSync(process.execPath, ['scripts/setup.mjs', '--peers', '--rebuild'], {
    cwd: root,
    stdio: 'inherit',
  });
  if (made.status !== 0) process.exit(made.status ?? 1);
}
if (process.getuid() !== 0) {
  process.stderr.write(
    'layerstore: not root: tests that mount, make devices or set owners are skipped, and listed at the end\n',
  );
}

const vitest = [
  'node_modules/vitest/vitest.mjs',
  'run',
  ...(soak ? ['--mode', 'soak'] : []),
  ...(unit ? ['packages/'] : []),
];
const tests = spawnSync(node, [...vitest, ...args], { cwd: root, stdio: 'inherit' });
process.exit(tests.status ?? 1);
