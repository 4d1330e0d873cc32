import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, mkdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { Transform, type TransformCallback } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { digestFromHex, digestHex, digestOf, type DiffId, type Digest } from '@layerstore/core';
import { hostPlatform } from '@layerstore/oci';
import type { ScratchDirectory } from './scratch-directory.js';
import type { RunningStep } from './steps.js';
import { runTool } from './tool.js';

export interface PackedImage {
  /** The OCI archive. */
  readonly path: string;
  readonly size: number;
  /** sha256 of the layers' tars, as node:crypto computes it. */
  readonly diffIds: readonly DiffId[];
}

interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
}

const chunk = 1024 * 1024;

/** Packs layer tars as a tar of an OCI layout with gzip layers (OCI image-spec, image-layout.md). */
export async function packImage(
  scratch: ScratchDirectory,
  tars: readonly string[],
  reference: string,
  signal: AbortSignal,
  step: RunningStep,
): Promise<PackedImage> {
  const layout = scratch.file('layout');
  const blobs = scratch.file('layout', 'blobs', 'sha256');
  mkdirSync(blobs, { recursive: true });
  const total = tars.reduce((sum, tar) => sum + statSync(tar).size, 0);
  let done = 0;
  const layers: Descriptor[] = [];
  const diffIds: DiffId[] = [];
  for (const tar of tars) {
    const plain = new HashingStream((bytes) => step.advance((done += bytes), total));
    const packed = new HashingStream();
    const file = scratch.file('layer.gz');
    const gzip = createGzip({ level: 1, chunkSize: chunk });
    await pipeline(createReadStream(tar, { highWaterMark: chunk }), plain, gzip, packed, createWriteStream(file), {
      signal,
    });
    renameSync(file, `${blobs}/${digestHex(packed.digest)}`);
    diffIds.push(plain.digest);
    layers.push({
      mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
      digest: packed.digest,
      size: packed.bytes,
    });
  }
  const writeBlob = (mediaType: string, value: unknown): Descriptor => {
    const text = JSON.stringify(value);
    const digest = digestOf(text);
    writeFileSync(`${blobs}/${digestHex(digest)}`, text);
    return { mediaType, digest, size: Buffer.byteLength(text) };
  };
  const config = writeBlob('application/vnd.oci.image.config.v1+json', imageConfig(diffIds));
  const manifest = writeBlob('application/vnd.oci.image.manifest.v1+json', {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config,
    layers,
  });
  const annotations = {
    'io.containerd.image.name': `docker.io/${reference}`,
    'org.opencontainers.image.ref.name': reference.slice(reference.indexOf(':') + 1),
  };
  writeFileSync(scratch.file('layout', 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
  writeFileSync(
    scratch.file('layout', 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }),
  );
  const path = scratch.file('image.oci.tar');
  await runTool('tar', ['--create', '--file', path, '--directory', layout, '.'], { signal });
  return { path, size: statSync(path).size, diffIds };
}

function imageConfig(diffIds: readonly DiffId[]): unknown {
  const created = new Date().toISOString();
  const { os, architecture, variant } = hostPlatform();
  const steps = ['mmdebstrap --variant=minbase', 'dpkg-deb --extract', 'edit, delete and recreate'];
  return {
    created,
    architecture,
    os,
    ...(variant === undefined ? {} : { variant }),
    config: {
      Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
      Cmd: ['bash'],
      WorkingDir: '/',
    },
    rootfs: { type: 'layers', diff_ids: diffIds },
    history: steps.map((step) => ({ created, created_by: step })),
  };
}

/** Passes bytes through; knows their number and digest at the end. */
class HashingStream extends Transform {
  bytes = 0;
  #digest: Digest | undefined;
  readonly #hash = createHash('sha256');
  readonly #onBytes: (bytes: number) => void;

  constructor(onBytes: (bytes: number) => void = () => undefined) {
    super({ highWaterMark: chunk });
    this.#onBytes = onBytes;
  }

  get digest(): Digest {
    this.#digest ??= digestFromHex(this.#hash.digest('hex'));
    return this.#digest;
  }

  override _transform(data: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
    this.bytes += data.length;
    this.#hash.update(data);
    this.#onBytes(data.length);
    callback(null, data);
  }
}
