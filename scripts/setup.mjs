// Makes a clone ready to run: npm packages, the build and, for the tests, the Debian packages that they compare with.
//
//   node scripts/setup.mjs             installs and builds what is missing
//   node scripts/setup.mjs --rebuild   builds in any case (the compiler redoes only what changed)
//   node scripts/setup.mjs --peers     also installs the Debian packages, when root
//
// Everything it says and everything its programs say goes to stderr. Two set-ups of one clone wait for each other:
// flock(1) runs this file again under a lock, which the kernel frees whatever way the set-up ends.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const inRoot = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));

/** Programs and libraries that tests, demo and benchmarks compare layerstore with. */
const peers = [
  'apache2-utils',
  'attr',
  'btrfs-progs',
  'buildah',
  'bzip2',
  'containerd',
  'docker-registry',
  'docker.io',
  'e2fsprogs',
  'fish',
  'fuse-overlayfs',
  'golang-github-containerd-containerd-dev',
  'golang-go',
  'iproute2',
  'isal',
  'libarchive-tools',
  'libcap2-bin',
  'mmdebstrap',
  'openssl',
  'pigz',
  'podman',
  'protobuf-compiler',
  'runc',
  'skopeo',
  'sqlite3',
  'umoci',
  'xfsprogs',
  'xz-utils',
  'zsh',
  'zstd',
];

const say = (text) => process.stderr.write(`layerstore: ${text}\n`);
const run = (program, args, options = {}) =>
  execFileSync(program, args, { cwd: root, stdio: ['ignore', 2, 2], ...options });

function requireNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  say(`node ${process.versions.node} is too old: 20.19 or newer is needed`);
  process.exit(1);
}

/** npm writes this file last, so an interrupted installation is done again. */
function installDependencies() {
  if (existsSync(inRoot('node_modules/.package-lock.json'))) return;
  say('npm packages are missing: running npm ci');
  run('npm', ['ci', '--no-audit', '--no-fund']);
}

/** The bundle's entry is written last. */
function build(always) {
  if (!always && existsSync(inRoot('packages/cli/dist/cli/main.js'))) return;
  say('building');
  run(process.execPath, ['scripts/build.mjs']);
}

function installPeers() {
  const missing = peers.filter((name) => !isInstalled(name));
  if (missing.length === 0) return;
  if (process.getuid() !== 0) {
    say(
      `not root, so these Debian packages stay missing and the tests that compare with them are skipped: ${missing.join(' ')}`,
    );
    return;
  }
  if (spawnSync('apt-get', ['--version'], { stdio: 'ignore' }).status !== 0) {
    say('apt-get is missing: tests that compare with other tools are skipped where the tool is not installed');
    return;
  }
  say(`installing Debian packages for the tests: ${missing.join(' ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  try {
    run('apt-get', ['-qq', 'update'], { env });
    withoutStarting(() => run('apt-get', ['-qq', '-y', '--no-install-recommends', 'install', ...missing], { env }));
  } catch (error) {
    say(`apt-get failed (${error.message}): tests that compare with these tools are skipped`);
  }
}

/**
 * Lets packages be installed without starting their services, docker and containerd among them: invoke-rc.d(8) asks this
 * program. They are enabled all the same and start with the machine, unless `systemctl disable` says otherwise.
 */
function withoutStarting(install) {
  const policy = '/usr/sbin/policy-rc.d';
  if (existsSync(policy)) return install();
  writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    return install();
  } finally {
    rmSync(policy);
  }
}

function isInstalled(name) {
  const query = spawnSync('dpkg-query', ['-W', '-f', '${Status}', name], { encoding: 'utf8' });
  return query.status === 0 && query.stdout === 'install ok installed';
}

const args = process.argv.slice(2);
requireNode();
if (args.includes('--locked')) {
  installDependencies();
  if (args.includes('--peers')) installPeers();
  build(args.includes('--rebuild'));
} else {
  const locked = [inRoot('.layerstore-setup'), process.execPath, fileURLToPath(import.meta.url), ...args, '--locked'];
  const child = spawnSync('flock', locked, { stdio: 'inherit' });
  if (child.error) say(`flock(1) of util-linux is needed: ${child.error.message}`);
  process.exit(child.status ?? 1);
}
