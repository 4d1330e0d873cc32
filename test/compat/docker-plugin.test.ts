/** The real dockerd with its own client, on layerstore as its graph driver, beside the same engine on its own overlay2. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PluginEngine } from '../support/docker-plugin.js';
import { DockerDaemon, hasDockerd } from '../support/dockerd.js';
import { copyHostPrograms } from '../support/host-root.js';
import { makeDockerArchive, sha256, threeLayers, type TestImage } from '../support/image.js';
import { mountsBelow, Scratch } from '../support/scratch.js';

describe.skipIf(!hasDockerd)('dockerd on the plugin, overlay2 (needs root and docker.io)', () => {
  let scratch: Scratch;
  let ours: PluginEngine;
  let theirs: DockerDaemon;
  let image: TestImage;

  beforeAll(async () => {
    scratch = new Scratch('dk');
    image = makeDockerArchive(scratch.file('image'), [programs, ...threeLayers], { reference: 'made:1' });
    ours = await PluginEngine.start(scratch.file('o'), { driver: 'overlay2' });
    theirs = await DockerDaemon.start(scratch.file('t'), { driver: 'overlay2' });
  });
  afterAll(async () => {
    await ours[Symbol.asyncDispose]();
    await theirs.stop();
    const left = mountsBelow(scratch.path);
    scratch[Symbol.dispose]();
    expect(left).toEqual([]);
  });

  it('shows the status of the driver in `docker info`', () => {
    const info = ours.docker('info');
    expect(info).toContain(`Storage Driver: ${ours.name}`);
    expect(info).toContain('Layerstore Driver: overlay2');
    expect(info).toContain('Backing Filesystem: ');
  });

  it('loads an image with the same ids, sizes and layer digests, and saves the same archive', () => {
    for (const engine of [ours, theirs]) engine.docker('load', '-i', image.path);
    const inspect = (engine: { docker(...args: string[]): string }, format: string) =>
      engine.docker('image', 'inspect', '--format', format, 'made:1');
    for (const format of ['{{.Id}}', '{{json .RootFS}}', '{{.Size}}']) {
      expect(inspect(ours, format)).toBe(inspect(theirs, format));
    }
    expect(saved(ours, 'made:1')).toEqual(saved(theirs, 'made:1'));
  });

  /** Digests of the members of what `docker save` writes; times of the archive's own members differ from run to run. */
  function saved(engine: { docker(...args: string[]): string }, name: string): Record<string, string> {
    const directory = scratch.file(`saved-${Math.random()}`);
    mkdirSync(directory);
    engine.docker('save', '-o', join(directory, 'image.tar'), name);
    execFileSync('tar', ['-C', directory, '-xf', join(directory, 'image.tar')]);
    const names = execFileSync('find', ['-mindepth', '1', '-type', 'f', '-not', '-name', 'image.tar'], {
      cwd: directory,
      encoding: 'utf8',
    });
    return Object.fromEntries(
      names
        .trim()
        .split('\n')
        .map((file) => [file, sha256(readFileSync(join(directory, file)))]),
    );
  }
});

function programs(directory: string): void {
  copyHostPrograms(directory, [
    'sh',
    'ls',
    'cat',
    'cp',
    'rm',
    'mkdir',
    'touch',
    'chmod',
    'ln',
    'sleep',
    'mv',
    'find',
    'stat',
  ]);
  writeFileSync(join(directory, 'etc', 'resolv.conf'), '');
}
