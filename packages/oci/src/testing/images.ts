import { digestHex, digestOf, type Digest } from '@layerstore/core';
import { mediaTypes } from '../media-type.js';
import { tarOf, type TestMember } from './tar.js';

/** A small image whose parts can be told apart by `name`, and replaced one by one to make it odd. */
export interface TestImage {
  readonly config: Buffer;
  readonly layers: readonly Buffer[];
}

export interface TestImageOptions {
  readonly layerCount?: number;
  readonly architecture?: string;
  readonly variant?: string;
  readonly os?: string;
}

export function testLayer(name: string): Buffer {
  return tarOf([[`${name}.txt`, `content of ${name}\n`]]);
}

export function testImage(name: string, options: TestImageOptions = {}): TestImage {
  const { layerCount = 1, architecture = 'amd64', variant, os = 'linux' } = options;
  const layers = Array.from({ length: layerCount }, (_, at) => testLayer(`${name}-${at}`));
  const config = {
    created: '2024-01-31T12:00:00Z',
    architecture,
    variant,
    os,
    config: { Env: ['PATH=/bin'], Cmd: [`/${name}`] },
    rootfs: { type: 'layers', diff_ids: layers.map((layer) => digestOf(layer)) },
    history: layers.map((_, at) => ({ created: '2024-01-31T12:00:00Z', created_by: `step ${at} of ${name}` })),
  };
  return { config: Buffer.from(JSON.stringify(config)), layers };
}

/** The members of a docker-archive. */
export function dockerMembers(images: readonly (TestImage & { readonly tags?: readonly string[] })[]): TestMember[] {
  const manifest = images.map(({ config, layers, tags }) => ({
    Config: `${digestHex(digestOf(config))}.json`,
    RepoTags: tags ?? null,
    Layers: layers.map((layer) => `${digestHex(digestOf(layer))}/layer.tar`),
  }));
  const files = new Map<string, Buffer>();
  for (const { config, layers } of images) {
    files.set(`${digestHex(digestOf(config))}.json`, config);
    for (const layer of layers) files.set(`${digestHex(digestOf(layer))}/layer.tar`, layer);
  }
  return [...files, ['manifest.json', JSON.stringify(manifest)]];
}

export interface TestDescriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly platform?: unknown;
  readonly annotations?: Record<string, string>;
}

/** Collects the blobs of an OCI layout. */
export class TestLayout {
  readonly #blobs = new Map<string, Buffer>();

  add(mediaType: string, bytes: Buffer): TestDescriptor {
    const digest = digestOf(bytes);
    this.#blobs.set(`blobs/sha256/${digestHex(digest)}`, bytes);
    return { mediaType, digest, size: bytes.length };
  }

  addJson(mediaType: string, document: unknown): TestDescriptor {
    return this.add(mediaType, Buffer.from(JSON.stringify(document)));
  }

  addImage({ config, layers }: TestImage, extra: Record<string, unknown> = {}): TestDescriptor {
    return this.addJson(mediaTypes.ociManifest, {
      schemaVersion: 2,
      config: this.add(mediaTypes.ociConfig, config),
      layers: layers.map((layer) => this.add(mediaTypes.ociLayer, layer)),
      ...extra,
    });
  }

  addIndex(manifests: readonly TestDescriptor[]): TestDescriptor {
    return this.addJson(mediaTypes.ociIndex, { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests });
  }

  /** Replaces the bytes of a blob, or removes it. */
  damage(digest: Digest, bytes: Buffer | undefined): void {
    const path = `blobs/sha256/${digestHex(digest)}`;
    if (bytes === undefined) this.#blobs.delete(path);
    else this.#blobs.set(path, bytes);
  }

  members(manifests: readonly unknown[]): TestMember[] {
    return [
      ['oci-layout', '{"imageLayoutVersion":"1.0.0"}'],
      ['index.json', JSON.stringify({ schemaVersion: 2, manifests })],
      ...this.#blobs,
    ];
  }
}

export function named(descriptor: TestDescriptor, name: string): TestDescriptor {
  return { ...descriptor, annotations: { 'org.opencontainers.image.ref.name': name } };
}
