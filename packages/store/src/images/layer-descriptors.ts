import type { DiffId } from '@layerstore/core';
import { parseImageConfig, parseManifest, parseReference, type Descriptor } from '@layerstore/oci';
import { readDocument } from '../blobs.js';
import type { StoreContext } from '../context.js';
import type { LayerRecord } from '../layers/layer-records.js';
import { decodeImage, namesOf, type ImageRecord } from './image-records.js';

/** A form in which a layer is known to exist in registries. */
export interface KnownForm {
  readonly descriptor: Descriptor;
  /** Paths of repositories of the same registry that may have it. */
  readonly repositories: readonly string[];
}

/**
 * The compressed forms of the layers of a stack, from the manifests with which the image and the images below it came.
 * Cost: manifest and config of each image of the store that stands on a layer of the stack.
 * @param domain the registry whose repositories are wanted
 * @throws StoreError ERR_STORE_DAMAGED
 */
export function knownForms(
  context: StoreContext,
  stack: readonly LayerRecord[],
  domain: string,
): ReadonlyMap<DiffId, readonly KnownForm[]> {
  const forms = new Map<DiffId, KnownForm[]>();
  for (const image of imagesWithin(context, stack)) {
    const repositories = namesOf(context.database, image.id).flatMap((name) => repositoryOn(domain, name));
    for (const { diffId, descriptor } of describedLayers(context, image)) {
      const list = forms.get(diffId) ?? [];
      list.push({ descriptor, repositories });
      forms.set(diffId, list);
    }
  }
  return forms;
}

/** From the top: the image's own manifest comes before those of its bases. */
function imagesWithin({ database }: StoreContext, stack: readonly LayerRecord[]): ImageRecord[] {
  const select = database.prepare('SELECT * FROM images WHERE chain_id = ? AND manifest IS NOT NULL ORDER BY id');
  return [...stack].reverse().flatMap(({ chainId }) => select.all(chainId).map(decodeImage));
}

function describedLayers(context: StoreContext, image: ImageRecord): { diffId: DiffId; descriptor: Descriptor }[] {
  if (image.manifest === undefined) return [];
  const bytes = readDocument(context.paths, image.manifest);
  const manifest = parseManifest(bytes, `manifest ${image.manifest}`, image.manifestType);
  if (manifest.kind !== 'manifest') return [];
  const diffIds = parseImageConfig(readDocument(context.paths, image.id)).rootfs.diff_ids;
  return manifest.layers.flatMap((descriptor, at) => {
    const diffId = diffIds[at];
    return diffId === undefined ? [] : [{ diffId, descriptor }];
  });
}

function repositoryOn(domain: string, name: string): string[] {
  const reference = parseReference(name);
  return reference.domain === domain ? [reference.path] : [];
}
