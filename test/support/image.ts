/** Small real images, packed by GNU tar and gzip, so that nothing of layerstore is used to test layerstore. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Writes the files of one layer into an empty directory. */
export type LayerContent = (directory: string) => void;

export interface TestImage {
  readonly path: string;
  readonly id: string;
  readonly diffIds: readonly string[];
  readonly reference: string;
}

export interface TestImageOptions {
  readonly reference?: string;
  readonly compression?: 'none' | 'gzip' | 'zstd';
  readonly config?: Record<string, unknown>;
}

/** A docker-archive (docker image spec 1.2) with the given layers, base first. */
export function makeDockerArchive(
  directory: string,
  layers: readonly LayerContent[],
  options: TestImageOptions = {},
): TestImage {
  const reference = options.reference ?? 'test:latest';
  const work = join(directory, 'archive');
  mkdirSync(work, { recursive: true });
  const blobs = layers.map((content, index) =>
    makeLayer(directory, work, content, index, options.compression ?? 'none'),
  );
  const config = JSON.stringify({
    architecture: 'amd64',
    os: 'linux',
    created: '2024-01-02T03:04:05Z',
    config: options.config ?? {},
    rootfs: { type: 'layers', diff_ids: blobs.map((blob) => blob.diffId) },
    history: blobs.map((_, index) => ({ created: '2024-01-02T03:04:05Z', created_by: `layer ${index}` })),
  });
  const id = sha256(Buffer.from(config));
  writeFileSync(join(work, `${id}.json`), config);
  const manifest = [{ Config: `${id}.json`, RepoTags: [reference], Layers: blobs.map((blob) => blob.name) }];
  writeFileSync(join(work, 'manifest.json'), JSON.stringify(manifest));
  const path = join(directory, 'image.tar');
  execFileSync('tar', ['-C', work, '-cf', path, '.']);
  return { path, id: `sha256:${id}`, diffIds: blobs.map((blob) => blob.diffId), reference };
}

function makeLayer(
  directory: string,
  work: string,
  content: LayerContent,
  index: number,
  compression: 'none' | 'gzip' | 'zstd',
): { name: string; diffId: string } {
  const tree = join(directory, `layer-${index}`);
  mkdirSync(tree, { recursive: true });
  content(tree);
  const name = `layer-${index}.tar`;
  const path = join(work, name);
  execFileSync('tar', ['-C', tree, '--format=pax', '--sort=name', '--numeric-owner', '-cf', path, '.']);
  const diffId = `sha256:${sha256(readFileSync(path))}`;
  if (compression === 'gzip') execFileSync('sh', ['-c', 'gzip -n "$1" && mv "$1.gz" "$1"', 'sh', path]);
  if (compression === 'zstd') execFileSync('sh', ['-c', 'zstd -q --rm "$1" && mv "$1.zst" "$1"', 'sh', path]);
  if (statSync(path).size === 0) throw new Error(`${path} is empty`);
  return { name, diffId };
}

export function sha256(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

/** Three layers: files of all kinds, a replaced file and deletions, an opaque directory. */
export const threeLayers: readonly LayerContent[] = [
  (directory) => {
    mkdirSync(join(directory, 'etc'));
    mkdirSync(join(directory, 'usr/share/doc'), { recursive: true });
    writeFileSync(join(directory, 'etc/hostname'), 'base\n');
    writeFileSync(join(directory, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n', { mode: 0o644 });
    writeFileSync(join(directory, 'usr/share/doc/readme'), 'read me\n');
    writeFileSync(join(directory, 'usr/share/doc/licence'), 'licence\n');
    execFileSync('ln', [join(directory, 'etc/passwd'), join(directory, 'etc/passwd-')]);
    execFileSync('ln', ['-s', 'hostname', join(directory, 'etc/name')]);
  },
  (directory) => {
    mkdirSync(join(directory, 'etc'));
    writeFileSync(join(directory, 'etc/hostname'), 'second\n');
    writeFileSync(join(directory, 'etc/.wh.passwd-'), '');
    writeFileSync(join(directory, 'big'), Buffer.alloc(300_000, 7));
  },
  (directory) => {
    mkdirSync(join(directory, 'usr/share/doc'), { recursive: true });
    writeFileSync(join(directory, 'usr/share/doc/.wh..wh..opq'), '');
    writeFileSync(join(directory, 'usr/share/doc/new'), 'new\n');
  },
];
