import { digestOf, parseDigest, StoreError, type Digest } from '@layerstore/core';
import * as v from 'valibot';
import { verifyDigest } from './blobs.js';
import { checkLayersFit, parseImageConfig, type ImageConfig } from './config.js';
import { absentOr, malformed, parseDocument } from './document.js';
import type { Entry } from './image-choice.js';
import { describeConfig, type StoredConfig, type UnnamedImage } from './image-record.js';
import type { FileRange, LayerBlob } from './image-source.js';
import { findMember, readRange, type Members } from './members.js';
import { normaliseReference } from './reference.js';

const manifestSchema = v.array(
  v.object({
    Config: v.string(),
    RepoTags: absentOr(v.array(v.string())),
    Layers: absentOr(v.array(v.string())),
  }),
);

/** One image of a docker-archive, by the names of its files. */
export interface DockerImage {
  readonly config: string;
  readonly references: readonly string[];
  readonly layers: readonly string[];
}

/**
 * Parses the table of contents of `docker save` (moby image/spec/v1.2.md, "Combined Image JSON + Filesystem Changeset
 * Format"):
 * ```
 * manifest.json         [{"Config":"<hex>.json","RepoTags":["debian:12"],"Layers":["<id>/layer.tar"]}]
 * <hex>.json            config, named after its digest
 * <id>/layer.tar        layer, plain as a rule; a file of any name, or a symlink to one
 * ```
 * docker >= 25 names all files `blobs/sha256/<hex>`.
 * @throws StoreError ERR_MALFORMED_IMAGE naming the field
 */
export function parseDockerManifest(bytes: Uint8Array, subject: string): DockerImage[] {
  return parseDocument(bytes, manifestSchema, subject).map((image, at) => ({
    config: image.Config,
    references: (image.RepoTags ?? []).map((tag) => parseRepoTag(tag, `${subject}: ${at}.RepoTags`)),
    layers: image.Layers ?? [],
  }));
}

export function entriesOfDockerArchive(members: Members, images: readonly DockerImage[]): Entry[] {
  return images.map((image, at) => ({
    references: image.references,
    tags: [],
    group: `entry ${at}`,
    candidates: async () => {
      const stored = await readConfigMember(members, image.config);
      const described = describeConfig(stored);
      const read = async (): Promise<UnnamedImage> => ({
        ...described,
        layers: await findLayers(members, image, stored.config),
      });
      return [{ platform: described.platform, indexed: false, read }];
    },
  }));
}

/** True when the archive holds every file that the images name. */
export async function isComplete(members: Members, images: readonly DockerImage[]): Promise<boolean> {
  const names = new Set(images.flatMap((image) => [image.config, ...image.layers]));
  for (const name of names) if ((await findMember(members, name)) === undefined) return false;
  return true;
}

async function readConfigMember(members: Members, name: string): Promise<StoredConfig> {
  const bytes = await readRange(await requireFile(members, name, 'config'), `${members.subject}: ${name}`);
  const expected = digestInName(name);
  if (expected !== undefined) verifyDigest(bytes, expected, `${members.subject}: ${name}`);
  return { bytes, digest: digestOf(bytes), config: parseImageConfig(bytes, `${members.subject}: ${name}`) };
}

async function findLayers(members: Members, image: DockerImage, config: ImageConfig): Promise<LayerBlob[]> {
  checkLayersFit(config, image.layers.length, `${members.subject}: manifest.json: ${image.config}`);
  const layers: LayerBlob[] = [];
  for (const [at, diffId] of config.rootfs.diff_ids.entries()) {
    const name = image.layers[at] ?? '';
    const file = await requireFile(members, name, 'layer');
    const digest = /^blobs\/sha256\/[0-9a-f]{64}$/.test(name) ? digestInName(name) : undefined;
    layers.push({ diffId, file, ...(digest === undefined ? {} : { digest }) });
  }
  return layers;
}

async function requireFile(members: Members, name: string, what: string): Promise<FileRange> {
  const range = await findMember(members, name);
  if (range !== undefined) return range;
  throw new StoreError('ERR_MALFORMED_IMAGE', `the ${what} is missing`, { subject: `${members.subject}: ${name}` });
}

/** Configs are named `<hex>.json`, `sha256:<hex>` or `blobs/sha256/<hex>`; other names state no digest. */
function digestInName(name: string): Digest | undefined {
  const hex = /^(?:blobs\/sha256\/|sha256:)?([0-9a-f]{64})(?:\.json)?$/.exec(name)?.[1];
  return hex === undefined ? undefined : parseDigest(`sha256:${hex}`);
}

function parseRepoTag(tag: string, subject: string): string {
  try {
    return normaliseReference(tag);
  } catch (cause) {
    throw malformed(subject, null, `${JSON.stringify(tag.slice(0, 300))} is not an image reference`, cause);
  }
}
