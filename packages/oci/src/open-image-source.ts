import type { Stats } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { detectCompression, DETECTION_LENGTH } from '@layerstore/archive';
import { fromSystemError, hasCode, StoreError } from '@layerstore/core';
import { DirectoryMembers } from './directory-members.js';
import { entriesOfDockerArchive, isComplete, parseDockerManifest } from './docker-archive.js';
import { readDockerDirectory } from './docker-directory.js';
import { expandArchive } from './expand-archive.js';
import { chooseImages, type Entry } from './image-choice.js';
import type { FileRange, ImageRecord, ImageSource, ImagesOptions, LayerBlob, SourceKind } from './image-source.js';
import { readLegacyArchive } from './legacy-archive.js';
import { readMember, readRange, type Members } from './members.js';
import { readOciLayout } from './oci-layout.js';
import { TarMembers } from './tar-members.js';

export interface OpenImageSourceOptions {
  /** Directory for the archive in plain form, should it be compressed as a whole; needed only then. */
  readonly scratch?: string;
  readonly signal?: AbortSignal;
}

/**
 * Opens an archive or directory of images, whichever of these it is: docker-archive (any age, unpacked too), OCI layout,
 * a tar of one, skopeo's `dir:`; archives may be compressed with gzip or zstd.
 *
 * Archives that are a docker-archive and an OCI layout at once (docker >= 25, buildkit, layerstore) are read as the former,
 * unless that part is incomplete, has no names where the other has them, or lacks the wanted platform.
 *
 * Nobody else may write to the path while the source is open.
 * @param path a regular file or a directory
 * @throws StoreError ERR_NOT_FOUND; ERR_UNSUPPORTED_FORMAT for what is none of these; ERR_MALFORMED_ARCHIVE,
 * ERR_MALFORMED_IMAGE, ERR_TRUNCATED, ERR_LIMIT_EXCEEDED
 */
export async function openImageSource(path: string, options: OpenImageSourceOptions = {}): Promise<ImageSource> {
  const status = await statusOf(path);
  if (status.isDirectory()) return await openMembers(new DirectoryMembers(path));
  if (!status.isFile()) {
    throw new StoreError('ERR_INVALID_ARGUMENT', 'not a regular file or directory', {
      subject: path,
      hint: 'archives are read at any offset: copy the stream to a file first',
    });
  }
  const head = await readRange({ path, offset: 0, length: Math.min(status.size, DETECTION_LENGTH) }, path);
  const compression = detectCompression(head);
  if (compression === 'none') return await openMembers(TarMembers.open(path));
  if (options.scratch === undefined) {
    throw new StoreError(
      'ERR_INVALID_ARGUMENT',
      `the archive is compressed with ${compression} and no scratch directory is given`,
      {
        subject: path,
      },
    );
  }
  const plain = await expandArchive({ path, size: status.size }, compression, options.scratch, options.signal);
  const remove = (): Promise<void> => rm(plain, { force: true });
  try {
    return await openMembers(TarMembers.open(plain, path), remove);
  } catch (error) {
    await remove();
    throw error;
  }
}

type ListedFormat = Pick<ImageSource, 'kind'> & { readonly entries: Entry[]; readonly fallback?: Entry[] };

async function openMembers(
  members: Members,
  dispose: () => Promise<void> = () => Promise.resolve(),
): Promise<ImageSource> {
  const { kind, entries, fallback } = await recognise(members);
  const { subject } = members;
  return {
    kind,
    subject,
    images: (options = {}) => chooseFromEither(entries, fallback, options, subject),
    fetch: (layer: LayerBlob): Promise<FileRange> => Promise.resolve(layer.file),
    [Symbol.asyncDispose]: dispose,
  };
}

async function chooseFromEither(
  entries: Entry[],
  fallback: Entry[] | undefined,
  options: ImagesOptions,
  subject: string,
): Promise<ImageRecord[]> {
  try {
    return await chooseImages(entries, options, subject);
  } catch (error) {
    if (fallback === undefined || !hasCode(error, 'ERR_NO_PLATFORM', 'ERR_IMAGE_NOT_FOUND')) throw error;
    return await chooseImages(fallback, options, subject);
  }
}

async function recognise(members: Members): Promise<ListedFormat> {
  const manifest = await readMember(members, 'manifest.json');
  const index = await readMember(members, 'index.json');
  const layoutKind: SourceKind = members.form === 'directory' ? 'oci-layout' : 'oci-archive';
  if (manifest !== undefined && !isArray(manifest) && index === undefined) {
    return { kind: 'docker-directory', entries: await readDockerDirectory(members, manifest) };
  }
  if (manifest !== undefined) return await recogniseDocker(members, manifest, index !== undefined, layoutKind);
  if (index !== undefined) return { kind: layoutKind, entries: await readOciLayout(members) };
  const legacy = (await mayBeLegacy(members)) ? await readLegacyArchive(members) : undefined;
  if (legacy !== undefined) return { kind: 'docker-archive', entries: legacy };
  throw new StoreError('ERR_UNSUPPORTED_FORMAT', 'not an image: it has no manifest.json, index.json or repositories', {
    subject: members.subject,
    hint: 'a tar of a root file system is brought in with `layerstore import`',
  });
}

/** To look for images without `repositories` every name is listed: not in a directory, which may be the root of a disk. */
async function mayBeLegacy(members: Members): Promise<boolean> {
  return members.form === 'archive' || (await members.lookup('repositories')) !== undefined;
}

async function recogniseDocker(
  members: Members,
  manifest: Buffer,
  hasIndex: boolean,
  layoutKind: SourceKind,
): Promise<ListedFormat> {
  const images = parseDockerManifest(manifest, `${members.subject}: manifest.json`);
  const docker = entriesOfDockerArchive(members, images);
  if (!hasIndex) return { kind: 'docker-archive', entries: docker };
  const layout = await readOciLayout(members);
  const isNamed = (entries: Entry[]): boolean => entries.some((entry) => entry.references.length > 0);
  const usable = images.length > 0 && (await isComplete(members, images)) && (isNamed(docker) || !isNamed(layout));
  return usable
    ? { kind: 'docker-archive', entries: docker, fallback: layout }
    : { kind: layoutKind, entries: layout, fallback: docker };
}

/** skopeo's directories and docker-archives both have a `manifest.json`: an image's own, or a list of images. */
function isArray(json: Buffer): boolean {
  return json.toString('latin1', 0, 64).trimStart().startsWith('[');
}

async function statusOf(path: string): Promise<Stats> {
  try {
    return await stat(path);
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && (cause.code === 'ENOENT' || cause.code === 'ENOTDIR')) {
      throw new StoreError('ERR_NOT_FOUND', 'no such file or directory', { subject: path, cause });
    }
    throw fromSystemError(cause, path);
  }
}
