import { digestOf, StoreError, type DiffId } from '@layerstore/core';
import * as v from 'valibot';
import { parseImageConfig } from './config.js';
import { absentOr, decodeUtf8, malformed, parseDocument } from './document.js';
import type { Candidate, Entry } from './image-choice.js';
import { describeConfig } from './image-record.js';
import type { FileRange, LayerBlob } from './image-source.js';
import { compactJson, joinObject, splitObject } from './json-text.js';
import { checkLayerCount } from './manifest.js';
import { measureLayer } from './measure-layer.js';
import { findMember, readMember, type Members } from './members.js';
import { normaliseReference } from './reference.js';

const repositoriesSchema = v.record(v.string(), v.record(v.string(), v.string()));

const layerSchema = v.object({
  id: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, 'not 64 hex digits')),
  parent: absentOr(v.string()),
  created: absentOr(v.string()),
  author: absentOr(v.string()),
  comment: absentOr(v.string()),
  container_config: absentOr(v.object({ Cmd: absentOr(v.array(v.string())) })),
});

interface LegacyLayer extends v.InferOutput<typeof layerSchema> {
  readonly text: string;
}

/** Fields that only the old form has (moby image/v1/imagev1.go, MakeConfigFromV1Config). */
const legacyFields = ['id', 'parent', 'Size', 'parent_id', 'layer_id', 'throwaway'];

/**
 * Lists an archive that `docker save` before 1.10 wrote (moby image/spec/v1.md):
 * ```
 * repositories          {"debian":{"7":"<id>"}}
 * <id>/json             the layer's description, with the id of its parent
 * <id>/layer.tar        the layer
 * ```
 * Such images have no config and no diff IDs. They get the ones that dockerd gives them on load: each layer is hashed, and
 * the config is derived from the description of the topmost one. The image ID equals dockerd's for descriptions written
 * by Docker 1.8.3 and later.
 * Cost of reading an image: one pass over its layers.
 * @returns undefined when there is no such image
 * @throws StoreError ERR_MALFORMED_IMAGE, ERR_LIMIT_EXCEEDED
 */
export async function readLegacyArchive(members: Members): Promise<Entry[] | undefined> {
  const ids = [...(await members.names())]
    .map((name) => /^([0-9a-f]{64})\/json$/.exec(name)?.[1])
    .filter((id) => id !== undefined);
  if (ids.length === 0) return undefined;
  const archive = new LegacyArchive(members);
  const names = await readRepositories(members);
  const parents = new Set<string>();
  for (const id of ids) parents.add((await archive.layer(id)).parent ?? '');
  return ids
    .filter((id) => names.has(id) || !parents.has(id))
    .map((id) => ({
      references: names.get(id) ?? [],
      tags: [],
      group: `entry ${id}`,
      candidates: async (signal) => [await archive.image(id, signal)],
    }));
}

/** The references of each image id. */
async function readRepositories(members: Members): Promise<Map<string, string[]>> {
  const names = new Map<string, string[]>();
  const bytes = await readMember(members, 'repositories');
  if (bytes === undefined) return names;
  const subject = `${members.subject}: repositories`;
  for (const [repository, tags] of Object.entries(parseDocument(bytes, repositoriesSchema, subject))) {
    for (const [tag, id] of Object.entries(tags)) {
      const reference = canonical(`${repository}:${tag}`, subject);
      names.set(id, [...(names.get(id) ?? []), reference]);
    }
  }
  return names;
}

function canonical(text: string, subject: string): string {
  try {
    return normaliseReference(text);
  } catch (cause) {
    throw malformed(subject, null, `${JSON.stringify(text.slice(0, 300))} is not an image reference`, cause);
  }
}

class LegacyArchive {
  readonly #layers = new Map<string, LegacyLayer>();
  readonly #diffIds = new Map<string, DiffId>();

  constructor(readonly members: Members) {}

  async layer(id: string): Promise<LegacyLayer> {
    const known = this.#layers.get(id);
    if (known !== undefined) return known;
    const subject = `${this.members.subject}: ${id}/json`;
    const bytes = await readMember(this.members, `${id}/json`);
    if (bytes === undefined) throw new StoreError('ERR_MALFORMED_IMAGE', 'the layer is missing', { subject });
    const layer = { ...parseDocument(bytes, layerSchema, subject), text: decodeUtf8(bytes) };
    if (layer.id !== id) throw malformed(subject, 'id', `${layer.id} is not the name of its directory`);
    this.#layers.set(id, layer);
    return layer;
  }

  async image(id: string, signal?: AbortSignal): Promise<Candidate> {
    const chain = await this.#chain(id);
    const layers: LayerBlob[] = [];
    for (const layer of chain) layers.push(await this.#blob(layer.id, signal));
    const bytes = encodeConfig(
      chain,
      layers.map((layer) => layer.diffId),
    );
    const config = parseImageConfig(bytes, `${this.members.subject}: ${id}/json`);
    const image = { ...describeConfig({ bytes, digest: digestOf(bytes), config }), layers };
    return { platform: image.platform, indexed: false, read: () => Promise.resolve(image) };
  }

  /** Base first. */
  async #chain(id: string): Promise<LegacyLayer[]> {
    const chain: LegacyLayer[] = [];
    for (let next = id; next !== '';) {
      const layer = await this.layer(next);
      if (chain.includes(layer)) {
        throw malformed(`${this.members.subject}: ${next}/json`, 'parent', 'the layers are each other’s parents');
      }
      chain.unshift(layer);
      checkLayerCount(chain.length, `${this.members.subject}: ${id}`);
      next = layer.parent ?? '';
    }
    return chain;
  }

  async #blob(id: string, signal?: AbortSignal): Promise<LayerBlob> {
    const name = `${id}/layer.tar`;
    const file: FileRange | undefined = await findMember(this.members, name);
    if (file === undefined) {
      throw new StoreError('ERR_MALFORMED_IMAGE', 'the layer is missing', {
        subject: `${this.members.subject}: ${name}`,
      });
    }
    const diffId = this.#diffIds.get(id) ?? (await measureLayer(file, signal)).diffId;
    this.#diffIds.set(id, diffId);
    return { diffId, file };
  }
}

/** The very bytes that dockerd writes: fields sorted, no white space, `<`, `>` and `&` escaped, values as they were. */
function encodeConfig(chain: readonly LegacyLayer[], diffIds: readonly DiffId[]): Buffer {
  const fields = splitObject(chain.at(-1)?.text ?? '{}');
  for (const name of legacyFields) fields.delete(name);
  fields.set('rootfs', JSON.stringify({ type: 'layers', diff_ids: diffIds }));
  fields.set('history', JSON.stringify(chain.map(historyEntry)));
  const sorted = new Map([...fields].sort(([one], [other]) => (one < other ? -1 : 1)));
  const text = compactJson(joinObject(sorted));
  return Buffer.from(
    text.replace(/[<>&\u2028\u2029]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`),
  );
}

function historyEntry(layer: LegacyLayer): Record<string, string> {
  const optional = (name: string, value: string | undefined): Record<string, string> =>
    value === undefined || value === '' ? {} : { [name]: value };
  return {
    created: layer.created ?? '0001-01-01T00:00:00Z',
    ...optional('author', layer.author),
    ...optional('created_by', layer.container_config?.Cmd?.join(' ')),
    ...optional('comment', layer.comment),
  };
}
