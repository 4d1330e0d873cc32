import { digestOf, StoreError, type Digest, type OperationOptions } from '@layerstore/core';
import {
  canonicalName,
  encodeManifest,
  familiarName,
  loadRegistry,
  mediaTypes,
  parseManifest,
  parseReference,
  withDefaultTag,
  type BlobReference,
  type Descriptor,
  type Reference,
  type RegistryOptions,
  type Repository,
  type RequestOptions,
} from '@layerstore/oci';
import { readDocument, stageDocument } from '../blobs.js';
import type { StoreContext } from '../context.js';
import { Slots } from '../downloads/slots.js';
import { pauseText } from '../downloads/download.js';
import { layerStack } from '../layers/layer-records.js';
import { publish } from '../layers/publish.js';
import type { PushedImage } from '../model.js';
import { Staging } from '../staging.js';
import { findImage, putImage, type ImageRecord } from './image-records.js';
import { knownForms } from './layer-descriptors.js';
import { pushLayer, type PushedBlob, type Pushing } from './push-layer.js';
import { resolveImage } from './resolve.js';
import { putBlob } from './store-image.js';
import { together } from '../together.js';

export interface PushOptions extends OperationOptions {
  /** Form of the layers that have to be made: default gzip. When it is given, forms of another compression are not used. */
  readonly compression?: 'gzip' | 'zstd';
  /** How registries are reached; default: anonymously. */
  readonly registry?: RegistryOptions;
}

/** Layers that are compressed, looked for or sent at once. */
const AT_ONCE = 4;

/** @throws StoreError see `Images.push` */
export async function pushImage(
  context: StoreContext,
  nameOrId: string,
  destination: string | undefined,
  options: PushOptions,
): Promise<PushedImage> {
  const { image, reference } = resolveImage(context.database, nameOrId);
  const target = targetOf(nameOrId, reference, destination);
  const { Repository: Repositories } = await loadRegistry();
  using repository = await Repositories.open(target, options.registry ?? {});
  await using staging = await Staging.create(context.paths);
  const subject = canonicalName(target);
  const layers = await pushLayers(context, staging, repository, image, subject, options);
  const manifest = await pushDocuments(context, repository, image, target, layers, options);
  await rememberManifest(context, staging, image.id, manifest);
  return {
    id: image.id,
    reference: familiarName(target),
    digest: digestOf(manifest.bytes),
    layers: layers.map(({ pushed }) => pushed),
  };
}

interface Document {
  readonly bytes: Buffer;
  readonly mediaType: string;
}

/** Config, then manifest: it makes the image appear, when all that it names is there. */
async function pushDocuments(
  context: StoreContext,
  repository: Repository,
  image: ImageRecord,
  target: Reference,
  layers: readonly PushedBlob[],
  options: PushOptions,
): Promise<Document> {
  const { putManifest } = await loadRegistry();
  const subject = canonicalName(target);
  const task = `manifest:${subject}`;
  const label = familiarName(target);
  const { onProgress, signal } = options;
  const how = {
    signal,
    onPause: (milliseconds: number, reason: string): void =>
      onProgress?.({ kind: 'wait', task, label, reason: pauseText(milliseconds, reason) }),
  };
  onProgress?.({ kind: 'start', task, label });
  try {
    const config = await pushConfig(context, repository, image, subject, how);
    const manifest = manifestFor(
      context,
      image,
      config,
      layers.map(({ descriptor }) => descriptor),
    );
    await putManifest(repository, target.tag ?? 'latest', manifest, subject, how);
    onProgress?.({ kind: 'end', task, label, outcome: 'done' });
    return manifest;
  } catch (error) {
    onProgress?.({ kind: 'end', task, label, outcome: 'failed' });
    throw error;
  }
}

function targetOf(nameOrId: string, reference: string | undefined, destination: string | undefined): Reference {
  const name = destination ?? reference;
  if (name === undefined) {
    throw new StoreError('ERR_INVALID_REFERENCE', 'an ID says not where to push to', {
      subject: nameOrId,
      hint: 'give the destination as well: registry.example.org/web:1',
    });
  }
  const target = withDefaultTag(parseReference(name));
  if (target.tag !== undefined && target.digest === undefined) return target;
  throw new StoreError('ERR_INVALID_REFERENCE', 'a digest cannot be pushed to: it is what comes of it', {
    subject: name,
    hint: 'give a tag in place of the digest',
  });
}

async function pushLayers(
  context: StoreContext,
  staging: Staging,
  repository: Repository,
  image: ImageRecord,
  subject: string,
  options: PushOptions,
): Promise<PushedBlob[]> {
  const stack = layerStack(context.database, image.chainId);
  const forms = knownForms(context, stack, repository.domain);
  const slots = new Slots(AT_ONCE);
  return await together(
    stack,
    async (layer, signal) => {
      using _slot = await slots.take(signal);
      const pushing: Pushing = { context, staging, repository, subject, options: { ...options, signal } };
      return await pushLayer(pushing, layer, forms.get(layer.diffId) ?? []);
    },
    options.signal,
  );
}

async function pushConfig(
  context: StoreContext,
  repository: Repository,
  image: ImageRecord,
  subject: string,
  how: RequestOptions,
): Promise<BlobReference> {
  const { hasBlob, uploadBlob } = await loadRegistry();
  const bytes = readDocument(context.paths, image.id);
  if (!(await hasBlob(repository, image.id, subject, how))) {
    const blob = { digest: image.id, size: bytes.length, open: (start: number) => bytes.subarray(start) };
    await uploadBlob(repository, blob, subject, how);
  }
  return { mediaType: mediaTypes.ociConfig, digest: image.id, size: bytes.length };
}

/** The manifest that the image came with, where it names just these blobs; else a new one. */
function manifestFor(
  context: StoreContext,
  image: ImageRecord,
  config: BlobReference,
  layers: readonly Descriptor[],
): Document {
  if (image.manifest !== undefined) {
    const bytes = readDocument(context.paths, image.manifest);
    const own = parseManifest(bytes, `manifest ${image.manifest}`, image.manifestType);
    const fits =
      own.kind === 'manifest' &&
      own.layers.length === layers.length &&
      own.layers.every(({ digest }, at) => digest === layers[at]?.digest);
    if (fits) return { bytes, mediaType: own.mediaType };
  }
  return { bytes: encodeManifest(config, layers), mediaType: mediaTypes.ociManifest };
}

/** An image that had no manifest gets the one it was pushed with: the next push finds its layers by it. */
async function rememberManifest(
  context: StoreContext,
  staging: Staging,
  id: Digest,
  manifest: Document,
): Promise<void> {
  const { database, paths } = context;
  if (findImage(database, id)?.manifest !== undefined) return;
  const document = stageDocument(paths, staging, manifest.bytes);
  await publish(context, {
    layers: [],
    files: [document],
    also: () => {
      const image = findImage(database, id);
      // It was removed while it was pushed: the file that comes into place is garbage and collected as such.
      if (image === undefined) return;
      putBlob(database, document);
      putImage(database, { ...image, manifest: document.digest, manifestType: manifest.mediaType });
    },
  });
}
