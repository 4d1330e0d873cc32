import { StoreError, throwIfAborted } from '@layerstore/core';
import type { UnnamedImage } from './image-record.js';
import type { ImageRecord, ImagesOptions } from './image-source.js';
import { bestForPlatform, formatPlatform, hostPlatform, type Platform } from './platform.js';
import { familiarName, normaliseReference, parseReference } from './reference.js';

/** What an archive or layout lists, before anything it refers to is read: what a format has to supply, and all of it. */
export interface Entry {
  readonly references: readonly string[];
  readonly tags: readonly string[];
  /** Entries without names that share a group are one image for several platforms. */
  readonly group: string;
  /** The images behind the entry: one, or one per platform. */
  candidates(signal?: AbortSignal): Promise<Candidate[]>;
}

export interface Candidate {
  readonly platform: Platform;
  /** It comes out of an index, so it is one of several even where the others are not stored. */
  readonly indexed: boolean;
  /** Reads and verifies the image; undefined when it turns out not to be a container image. */
  read(): Promise<UnnamedImage | undefined>;
}

interface NamedCandidate {
  readonly entry: Entry;
  readonly candidate: Candidate;
  readonly platform: Platform;
}

/**
 * The images of the wanted name; of each that exists for several platforms the one that fits.
 * @throws StoreError as {@link ImageSource.images}
 */
export async function chooseImages(
  entries: readonly Entry[],
  options: ImagesOptions,
  subject: string,
): Promise<ImageRecord[]> {
  const wanted = options.reference === undefined ? entries : entriesNamed(entries, options.reference, subject);
  const candidates: NamedCandidate[] = [];
  for (const entry of wanted) {
    throwIfAborted(options.signal);
    for (const candidate of await entry.candidates(options.signal)) {
      candidates.push({ entry, candidate, platform: candidate.platform });
    }
  }
  const images = new Map<string, ImageRecord>();
  for (const { entry, candidate } of fittingCandidates(candidates, options.platform, subject)) {
    throwIfAborted(options.signal);
    const image = await candidate.read();
    if (image === undefined) continue;
    const key = image.manifest?.digest ?? image.config.digest;
    images.set(key, withNames(images.get(key) ?? { ...image, references: [], tags: [] }, entry));
  }
  if (images.size > 0) return [...images.values()];
  throw new StoreError('ERR_UNSUPPORTED_FORMAT', 'there is no container image in it', { subject });
}

function withNames(image: ImageRecord, entry: Entry): ImageRecord {
  return {
    ...image,
    references: [...new Set([...image.references, ...entry.references])],
    tags: [...new Set([...image.tags, ...entry.tags])],
  };
}

/** Of each group the ones that fit, all in their order. */
function fittingCandidates(
  candidates: readonly NamedCandidate[],
  platform: Platform | undefined,
  subject: string,
): NamedCandidate[] {
  const groups = new Map<string, NamedCandidate[]>();
  for (const one of candidates) {
    const group = groups.get(groupKey(one.entry));
    if (group === undefined) groups.set(groupKey(one.entry), [one]);
    else group.push(one);
  }
  const chosen = new Set([...groups.values()].flatMap((group) => fitting(group, platform, subject)));
  return candidates.filter((one) => chosen.has(one));
}

function groupKey(entry: Entry): string {
  const names = [...entry.references, ...entry.tags].sort();
  return names.length === 0 ? `group ${entry.group}` : `named ${names.join(' ')}`;
}

function fitting(
  group: readonly NamedCandidate[],
  platform: Platform | undefined,
  subject: string,
): readonly NamedCandidate[] {
  const platforms = [...new Set(group.map((one) => formatPlatform(one.platform)))];
  const choice = platform !== undefined || platforms.length > 1 || group.some(({ candidate }) => candidate.indexed);
  if (!choice) return group;
  const wanted = platform ?? hostPlatform();
  const best = bestForPlatform(group, wanted);
  if (best.length > 0) return best;
  const names = [...new Set(group.flatMap(({ entry }) => displayNames(entry)))];
  throw new StoreError('ERR_NO_PLATFORM', `nothing fits ${formatPlatform(wanted)}; there is ${platforms.join(', ')}`, {
    subject: names.length === 0 ? subject : `${subject}: ${names.join(', ')}`,
    hint: `choose one of them, for example with --platform ${platforms[0] ?? ''}`,
  });
}

function entriesNamed(entries: readonly Entry[], wanted: string, subject: string): readonly Entry[] {
  const tagged = entries.filter((entry) => entry.tags.includes(wanted));
  if (tagged.length > 0) return tagged;
  const canonical = normaliseReference(wanted);
  const found = entries.filter((entry) => entry.references.includes(canonical));
  if (found.length > 0) return found;
  const there = [...new Set(entries.flatMap(displayNames))];
  throw new StoreError(
    'ERR_IMAGE_NOT_FOUND',
    there.length === 0 ? 'the images in it have no names' : `there is ${there.join(', ')}`,
    { subject: `${subject}: ${wanted}` },
  );
}

function displayNames(entry: Entry): string[] {
  return [...entry.references.map((reference) => familiarName(parseReference(reference))), ...entry.tags];
}
