import { StoreError, type DiffId } from '@layerstore/core';
import { changeExecution } from './config-change.js';
import { parseImageConfig, type ExecutionConfig, type ImageConfig } from './config.js';
import { decodeUtf8 } from './document.js';
import { joinArray, joinObject, splitArray, splitObject } from './json-text.js';
import { hostPlatform, type Platform } from './platform.js';

export interface NewImageConfigOptions {
  /** The layer on top of the base's; without one the history gets a step that made no layer. */
  readonly diffId?: DiffId;
  /** RFC 3339; the same options give the same bytes. */
  readonly created: string;
  /** What made the layer, as `history` shows it. */
  readonly createdBy?: string;
  readonly author?: string;
  readonly comment?: string;
  /** Dockerfile instructions, see {@link changeExecution}. */
  readonly changes?: readonly string[];
  /** Default: the base's, or the host's for an image without base. */
  readonly platform?: Platform;
}

/**
 * The config of an image made from a base by one more layer or by changed settings.
 *
 * The text of the base is edited, not written anew: fields that only Docker or others know keep their place and spelling.
 * @param base bytes of the base's config; undefined for an image from scratch
 * @throws StoreError ERR_INVALID_ARGUMENT for a change or time; ERR_MALFORMED_IMAGE for the base; ERR_LIMIT_EXCEEDED
 */
export function newImageConfig(base: Buffer | undefined, options: NewImageConfigOptions): Buffer {
  const created = checkTime(options.created);
  const known = base === undefined ? undefined : parseImageConfig(base, 'config of the base');
  const fields = base === undefined ? new Map<string, string>() : splitObject(decodeUtf8(base));
  fields.set('created', JSON.stringify(created));
  if (options.author !== undefined) fields.set('author', JSON.stringify(options.author));
  const platform = options.platform ?? (known === undefined ? hostPlatform() : undefined);
  if (platform !== undefined) setPlatform(fields, platform);
  setExecution(fields, known?.config ?? {}, options.changes ?? []);
  if (options.diffId !== undefined) setDiffIds(fields, options.diffId);
  fields.set('rootfs', fields.get('rootfs') ?? JSON.stringify({ type: 'layers', diff_ids: [] }));
  setHistory(fields, known, { ...options, created });
  const bytes = Buffer.from(joinObject(fields));
  parseImageConfig(bytes, 'new config');
  return bytes;
}

function checkTime(text: string): string {
  if (/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/.test(text) && !Number.isNaN(Date.parse(text))) {
    return text;
  }
  throw new StoreError('ERR_INVALID_ARGUMENT', 'not a time in RFC 3339', {
    subject: text,
    hint: 'for example 2024-01-31T12:00:00Z',
  });
}

function setPlatform(fields: Map<string, string>, platform: Platform): void {
  fields.set('architecture', JSON.stringify(platform.architecture));
  fields.set('os', JSON.stringify(platform.os));
  if (platform.variant === undefined) fields.delete('variant');
  else fields.set('variant', JSON.stringify(platform.variant));
}

/** Only the settings that a change touched are written; the text of the others stays. */
function setExecution(fields: Map<string, string>, base: ExecutionConfig, changes: readonly string[]): void {
  const text = fields.get('config') ?? '{}';
  const settings = text === 'null' ? new Map<string, string>() : splitObject(text);
  const changed = changeExecution(base, changes);
  for (const name of executionFields) {
    if (changed[name] === base[name]) continue;
    if (changed[name] === undefined) settings.delete(name);
    else settings.set(name, JSON.stringify(changed[name]));
  }
  fields.set('config', joinObject(settings));
}

const executionFields = [
  'User',
  'ExposedPorts',
  'Env',
  'Entrypoint',
  'Cmd',
  'Volumes',
  'WorkingDir',
  'Labels',
  'StopSignal',
] as const satisfies (keyof ExecutionConfig)[];

function setDiffIds(fields: Map<string, string>, diffId: DiffId): void {
  const rootfs = splitObject(fields.get('rootfs') ?? '{"type":"layers"}');
  rootfs.set('diff_ids', joinArray([...items(rootfs.get('diff_ids')), JSON.stringify(diffId)]));
  fields.set('rootfs', joinObject(rootfs));
}

function setHistory(fields: Map<string, string>, base: ImageConfig | undefined, options: NewImageConfigOptions): void {
  const filled = (base?.history ?? []).filter((entry) => entry.empty_layer !== true).length;
  // Images may have fewer history entries than layers; without these the new entry would count for a lower layer.
  const unaccounted = Array.from({ length: (base?.rootfs.diff_ids.length ?? 0) - filled }, () => '{}');
  const entry = JSON.stringify({
    created: options.created,
    created_by: options.createdBy,
    author: options.author,
    comment: options.comment,
    empty_layer: options.diffId === undefined ? true : undefined,
  });
  fields.set('history', joinArray([...items(fields.get('history')), ...unaccounted, entry]));
}

function items(text: string | undefined): string[] {
  return text === undefined || text === 'null' ? [] : splitArray(text);
}
