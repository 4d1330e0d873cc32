import { mkdirSync, readdirSync, rmdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { StoreError } from '@layerstore/core';
import type { ScratchDirectory } from './scratch-directory.js';
import type { RunningStep } from './steps.js';
import { hasTool, runTool } from './tool.js';

/** Packages of the second layer: they need nothing beyond the base, and one gives the container programs to work with. */
const packages = ['attr', 'bash-completion', 'less', 'libcap2-bin', 'manpages'];

/** Debian's directories that are symlinks into /usr since bookworm. */
const mergedDirectories = ['bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32'];

/**
 * Makes sure that mmdebstrap is there; installs it where apt-get is.
 * @throws StoreError ERR_MISSING_PREREQUISITE
 */
export async function requireMmdebstrap(signal: AbortSignal, say: (text: string) => void): Promise<void> {
  if (hasTool('mmdebstrap')) return;
  const hint = 'install the package mmdebstrap, or give an image of your own with --image FILE';
  if (!hasTool('apt-get'))
    throw new StoreError('ERR_MISSING_PREREQUISITE', 'not installed', { subject: 'mmdebstrap', hint });
  say('mmdebstrap is missing: installing it with apt-get');
  const environment = { DEBIAN_FRONTEND: 'noninteractive' };
  await runTool('apt-get', ['-qq', 'update'], { signal, environment });
  await runTool('apt-get', ['-qq', '-y', '--no-install-recommends', 'install', 'mmdebstrap'], { signal, environment });
}

/**
 * The tars of three layers, base first: a Debian root made from its packages; the files of further packages; and one that
 * replaces, hides and makes opaque. Made by mmdebstrap, dpkg-deb and GNU tar: nothing of layerstore is involved.
 */
export async function makeDebianLayers(
  scratch: ScratchDirectory,
  suite: string,
  signal: AbortSignal,
  step: RunningStep,
): Promise<string[]> {
  const downloads = scratch.file('packages');
  const temporary = scratch.file('tmp');
  mkdirSync(downloads);
  mkdirSync(temporary);
  const download = `cd "$DEMO_PACKAGES" && APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get -o APT::Sandbox::User=root download ${packages.join(' ')}`;
  await runTool(
    'mmdebstrap',
    ['--variant=minbase', '--mode=root', `--customize-hook=${download}`, suite, scratch.file('base.tar')],
    {
      signal,
      environment: { TMPDIR: temporary, DEMO_PACKAGES: downloads },
      onMessage: (line) => {
        const progress = /^I: (.*?)\.*$/.exec(line)?.[1];
        if (progress !== undefined) step.detail(progress.slice(0, 60));
      },
    },
  );
  step.detail('unpacking the packages of the second layer');
  await makePackageLayer(scratch, downloads, signal);
  step.detail('making the third layer');
  await makeChangeLayer(scratch, signal);
  return ['base.tar', 'packages.tar', 'changes.tar'].map((name) => scratch.file(name));
}

async function makePackageLayer(scratch: ScratchDirectory, downloads: string, signal: AbortSignal): Promise<void> {
  const tree = scratch.file('package-tree');
  mkdirSync(tree, { mode: 0o755 });
  // Packages with a file in /sbin must land in /usr/sbin: a layer with a directory /sbin would replace the base's symlink.
  for (const name of mergedDirectories) {
    mkdirSync(scratch.file('package-tree', 'usr', name), { recursive: true, mode: 0o755 });
    symlinkSync(`usr/${name}`, scratch.file('package-tree', name));
  }
  for (const name of readdirSync(downloads)) {
    const files = scratch.file('package-files.tar');
    await runTool('dpkg-deb', ['--fsys-tarfile', `${downloads}/${name}`], { signal, outputFile: files });
    const options = ['--preserve-permissions', '--numeric-owner', '--keep-directory-symlink'];
    await runTool('tar', ['--extract', '--file', files, '--directory', tree, ...options], { signal });
    rmSync(files);
  }
  for (const name of mergedDirectories) {
    rmSync(scratch.file('package-tree', name));
    removeEmpty(scratch.file('package-tree', 'usr', name));
  }
  await packTree(tree, scratch.file('packages.tar'), signal);
}

function removeEmpty(directory: string): void {
  if (readdirSync(directory).length === 0) rmdirSync(directory);
}

/** What `docker build` writes for a step that edits, deletes and recreates: plain files with the names of the image specification. */
async function makeChangeLayer(scratch: ScratchDirectory, signal: AbortSignal): Promise<void> {
  const tree = scratch.file('change-tree');
  const write = (path: string, text: string): void => {
    const full = `${tree}/${path}`;
    mkdirSync(full.slice(0, full.lastIndexOf('/')), { recursive: true, mode: 0o755 });
    writeFileSync(full, text, { mode: 0o644 });
  };
  write('etc/issue', 'Debian, as the layerstore demo has it\n');
  write('etc/.wh.issue.net', '');
  write('usr/share/bash-completion/completions/.wh..wh..opq', '');
  write('usr/share/bash-completion/completions/layerstore', 'complete -W "load images create mount" layerstore\n');
  await packTree(tree, scratch.file('changes.tar'), signal);
}

async function packTree(tree: string, tar: string, signal: AbortSignal): Promise<void> {
  await runTool(
    'tar',
    ['--create', '--file', tar, '--numeric-owner', '--xattrs', '--sort=name', '--directory', tree, '.'],
    {
      signal,
    },
  );
}
