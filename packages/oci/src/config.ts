import { parseDigest, StoreError, type DiffId } from '@layerstore/core';
import * as v from 'valibot';
import { absentOr, malformed, parseDocument } from './document.js';
import { checkLayerCount } from './manifest.js';
import { normalisePlatform, type Platform } from './platform.js';

/**
 * An image's config: what it runs on, how to run it, and the diff IDs of its layers (OCI image-spec, config.md; Docker's
 * configs have the same fields and more). Field names are the specification's; what was written as `null` is absent.
 *
 * Keep the bytes that this was parsed from: their digest is the image ID, and they hold fields that are not listed here.
 */
export interface ImageConfig {
  readonly os?: string | undefined;
  readonly architecture?: string | undefined;
  readonly variant?: string | undefined;
  readonly 'os.version'?: string | undefined;
  /** RFC 3339, as written. */
  readonly created?: string | undefined;
  readonly author?: string | undefined;
  readonly config?: ExecutionConfig | undefined;
  /** Base first. */
  readonly rootfs: { readonly type: 'layers'; readonly diff_ids: readonly DiffId[] };
  readonly history?: readonly HistoryEntry[] | undefined;
}

/** How a container of the image is run. */
export interface ExecutionConfig {
  readonly User?: string | undefined;
  /** `NAME=value` */
  readonly Env?: readonly string[] | undefined;
  readonly Entrypoint?: readonly string[] | undefined;
  readonly Cmd?: readonly string[] | undefined;
  readonly WorkingDir?: string | undefined;
  readonly Labels?: Readonly<Record<string, string>> | undefined;
  /** Keys are `80/tcp`. */
  readonly ExposedPorts?: Readonly<Record<string, unknown>> | undefined;
  readonly Volumes?: Readonly<Record<string, unknown>> | undefined;
  readonly StopSignal?: string | undefined;
}

/** How a layer came about, or with `empty_layer` a step that made none. */
export interface HistoryEntry {
  readonly created?: string | undefined;
  readonly created_by?: string | undefined;
  readonly author?: string | undefined;
  readonly comment?: string | undefined;
  readonly empty_layer?: boolean | undefined;
}

const text = absentOr(v.string());
const strings = absentOr(v.array(v.string()));
const keys = absentOr(v.record(v.string(), v.unknown()));

const executionSchema = v.object({
  User: text,
  Env: strings,
  Entrypoint: strings,
  Cmd: strings,
  WorkingDir: text,
  Labels: absentOr(v.record(v.string(), v.string())),
  ExposedPorts: keys,
  Volumes: keys,
  StopSignal: text,
});

const historySchema = v.object({
  created: text,
  created_by: text,
  author: text,
  comment: text,
  empty_layer: absentOr(v.boolean()),
});

const configSchema = v.object({
  os: text,
  architecture: text,
  variant: text,
  'os.version': text,
  created: text,
  author: text,
  config: absentOr(executionSchema),
  rootfs: v.object({ type: v.literal('layers'), diff_ids: v.nullish(v.array(v.string()), []) }),
  history: absentOr(v.array(historySchema)),
});

/**
 * Parses an image config.
 * @param subject what leads an error; default "image config"
 * @throws StoreError ERR_MALFORMED_IMAGE naming the field; ERR_LIMIT_EXCEEDED above LAYER_LIMIT layers or
 * DOCUMENT_LIMIT bytes
 */
export function parseImageConfig(bytes: Uint8Array, subject = 'image config'): ImageConfig {
  const document = parseDocument(bytes, configSchema, subject);
  const diffIds = document.rootfs.diff_ids.map((diffId, at) =>
    parseDigest(diffId, `${subject}: rootfs.diff_ids.${at}`),
  );
  checkLayerCount(diffIds.length, subject);
  const filled = (document.history ?? []).filter((entry) => entry.empty_layer !== true).length;
  if (filled > diffIds.length) {
    throw malformed(subject, 'history', `${filled} entries with a layer, rootfs.diff_ids has ${diffIds.length}`);
  }
  return { ...document, rootfs: { type: 'layers', diff_ids: diffIds } };
}

/**
 * What an image runs on. Without `os` it is taken for Linux, as dockerd does; without `architecture` it is `unknown`,
 * which fits no machine.
 */
export function configPlatform(config: ImageConfig): Platform {
  const { os = '', architecture = '', variant } = config;
  return normalisePlatform({
    os: os === '' ? 'linux' : os,
    architecture: architecture === '' ? 'unknown' : architecture,
    variant,
    osVersion: config['os.version'],
  });
}

/** @throws StoreError ERR_MALFORMED_IMAGE when an image lists more or fewer layers than its config has diff IDs. */
export function checkLayersFit(config: ImageConfig, layerCount: number, subject: string): void {
  const expected = config.rootfs.diff_ids.length;
  if (expected === layerCount) return;
  throw new StoreError(
    'ERR_MALFORMED_IMAGE',
    `layers: ${layerCount} listed, rootfs.diff_ids of the config has ${expected}`,
    { subject },
  );
}
