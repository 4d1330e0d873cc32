import { encodePlainHeader, END_OF_ARCHIVE, padding } from '@layerstore/archive';
import { digestHex, digestOf } from '@layerstore/core';
import {
  blobPath,
  documentFile,
  planOciLayout,
  type BytesPart,
  type ExportImage,
  type PlannedFile,
} from './plan-layout.js';
import { canonicalName, parseReference } from './reference.js';

/**
 * An archive as the sequence of its parts: bytes that are known now, and the caller's own words for the content of layers,
 * each of the size that its header states. Written one after the other they are the archive.
 */
export type ArchivePart<Content> = BytesPart | Content;

/**
 * A tar of an OCI image layout, for `skopeo copy oci-archive:`, `podman load`, `ctr images import`, `docker load` >= 25.
 * All times are 0, all owners root: equal input gives equal bytes.
 * @throws StoreError as {@link planOciLayout}
 */
export function planOciArchive<Content>(images: readonly ExportImage<Content>[]): ArchivePart<Content>[] {
  return tarParts(planOciLayout(images));
}

/**
 * An archive for `docker load` of any version since 1.10, podman, skopeo and containerd. In the form of docker >= 25: the
 * files of an OCI layout, and beside them a `manifest.json` (and `repositories`) that point to the same blobs.
 * Layers should be plain tars, as the engines write them.
 * @throws StoreError as {@link planOciLayout}
 */
export function planDockerArchive<Content>(images: readonly ExportImage<Content>[]): ArchivePart<Content>[] {
  const documents = [
    documentFile('manifest.json', Buffer.from(JSON.stringify(images.map(manifestEntry)))),
    documentFile('repositories', Buffer.from(JSON.stringify(repositories(images)))),
  ];
  return tarParts([...documents, ...planOciLayout(images)]);
}

function manifestEntry<Content>(image: ExportImage<Content>): Record<string, unknown> {
  const tags = repoTags(image).map(({ repository, tag }) => `${repository}:${tag}`);
  return {
    Config: blobPath(digestOf(image.config)),
    RepoTags: tags.length === 0 ? null : tags,
    Layers: image.layers.map((layer) => blobPath(layer.digest)),
  };
}

/** Repository, tag, and as docker >= 25 has it the digest of the topmost layer in place of the old image id. */
function repositories<Content>(images: readonly ExportImage<Content>[]): Record<string, Record<string, string>> {
  const result: Record<string, Record<string, string>> = {};
  for (const image of images) {
    const top = image.layers.at(-1);
    if (top === undefined) continue;
    for (const { repository, tag } of repoTags(image)) {
      result[repository] = { ...result[repository], [tag]: digestHex(top.digest) };
    }
  }
  return result;
}

/** The names that this form can hold: those with a tag. In full: podman takes a short one for `localhost/NAME`. */
function repoTags<Content>(image: ExportImage<Content>): { repository: string; tag: string }[] {
  return image.references.flatMap((text) => {
    const { domain, path, tag } = parseReference(text);
    return tag === undefined ? [] : [{ repository: canonicalName({ domain, path }), tag }];
  });
}

function tarParts<Content>(files: readonly PlannedFile<Content>[]): ArchivePart<Content>[] {
  const parts: ArchivePart<Content>[] = [];
  let pending: Buffer[] = [];
  const flush = (): void => {
    if (pending.length > 0) parts.push({ kind: 'bytes', data: Buffer.concat(pending) });
    pending = [];
  };
  pending.push(encodePlainHeader('blobs/', 'directory', 0), encodePlainHeader('blobs/sha256/', 'directory', 0));
  for (const { path, size, part } of files) {
    pending.push(encodePlainHeader(path, 'file', size));
    if (isBytes(part)) pending.push(part.data);
    else {
      flush();
      parts.push(part);
    }
    pending.push(padding(size));
  }
  pending.push(END_OF_ARCHIVE);
  flush();
  return parts;
}

function isBytes(part: unknown): part is BytesPart {
  return typeof part === 'object' && part !== null && 'kind' in part && part.kind === 'bytes';
}
