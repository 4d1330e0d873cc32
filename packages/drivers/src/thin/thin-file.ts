/**
 * `thin.json`: the list of layers that a thin layer stands for.
 *
 * ```
 * { "version": "1.0", "min_version": "1.0", "origin": "debian:12@registry.example.org",
 *   "layers": [ { "digest": "<64 hex digits>", "url": "cvmfs://<repository>/<path>" } ] }
 * ```
 *
 * Base layer first. Format: docker-graphdriver of CernVM-FS (thin.json 1.0). Whoever made an image wrote it: nothing in it is
 * used before it was checked.
 */
import * as v from 'valibot';
import { StoreError } from '@layerstore/core';

export const thinFileName = 'thin.json';

/** Bytes; a list of the greatest length takes a tenth of it. */
export const maxThinFileSize = 1024 * 1024;

/** As many lower directories as the kernel's overlay takes (OVL_MAX_STACK). */
const maxEntries = 500;

/** The version of the format that is understood, and the lowest that a file may ask for. */
const understood = { major: 1, minor: 0 } as const;

/** One layer in a repository. */
export interface ThinEntry {
  /** sha256 of the layer as its image has it, 64 hex digits. A claim: nobody can check it on the directory. */
  readonly digest: string;
  readonly url: string;
  /** Fully qualified name of the repository: `images.example.org`. */
  readonly repository: string;
  /** Relative path in the repository, without `.`, `..` and empty parts. */
  readonly path: string;
}

export interface ThinFile {
  /** Base layer first; not empty. */
  readonly entries: readonly ThinEntry[];
}

const text = v.pipe(v.string(), v.maxLength(4096));
const shape = v.object({
  version: text,
  min_version: v.optional(text),
  layers: v.pipe(
    v.array(v.object({ digest: text, url: text })),
    v.minLength(1, 'names no layers'),
    v.maxLength(maxEntries, `names more than ${maxEntries} layers`),
  ),
});

/**
 * Reads the content of a `thin.json`. Keys that are not known are passed over.
 * @param subject names the file in errors
 * @throws StoreError ERR_MALFORMED_THIN_LAYER with the place in the file
 * @throws StoreError ERR_UNSUPPORTED_FORMAT for a version that is not understood
 * @throws StoreError ERR_LIMIT_EXCEEDED for a file of more than 1 MiB
 */
export function parseThinFile(bytes: Uint8Array, subject: string): ThinFile {
  if (bytes.length > maxThinFileSize) throw tooLarge(subject);
  const document = parseJson(bytes, subject);
  // Another version may have another shape: so it comes first.
  requireVersion(document, subject);
  const result = v.safeParse(shape, document);
  if (!result.success) {
    const [issue] = result.issues;
    throw malformed(`${v.getDotPath(issue) ?? 'the document'}: ${issue.message}`, subject);
  }
  const entries = result.output.layers.map((layer, index) => parseEntry(layer, `layers.${index}`, subject));
  return { entries };
}

export function tooLarge(subject: string): StoreError {
  return new StoreError('ERR_LIMIT_EXCEEDED', `a thin.json has at most ${maxThinFileSize} bytes`, { subject });
}

function parseJson(bytes: Uint8Array, subject: string): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw malformed('it is no JSON document in UTF-8', subject, error);
  }
}

function requireVersion(document: unknown, subject: string): void {
  const stated = v.safeParse(v.object({ version: text, min_version: v.optional(text) }), document);
  if (!stated.success) throw malformed('it states no version', subject);
  const { version, min_version: lowest } = stated.output;
  const [own, needed] = [version, lowest ?? version].map((value) => parseVersion(value, subject));
  if (own === undefined || needed === undefined) return;
  // Where the file does not say what its readers must understand, its main version does.
  const minor = lowest === undefined ? understood.minor : needed.minor;
  if (needed.major < understood.major || (needed.major === understood.major && minor <= understood.minor)) return;
  throw new StoreError(
    'ERR_UNSUPPORTED_FORMAT',
    `thin.json has version ${version}${lowest === undefined ? '' : ` (at least ${lowest} is needed)`}; 1.0 is understood`,
    { subject, hint: 'use a newer layerstore, or make the thin image anew' },
  );
}

function parseVersion(value: string, subject: string): { readonly major: number; readonly minor: number } {
  const [, major, minor] = /^(\d{1,4})\.(\d{1,4})$/.exec(value) ?? [];
  if (major === undefined || minor === undefined) {
    throw malformed(`version ${JSON.stringify(value.slice(0, 40))} is not of the form 1.0`, subject);
  }
  return { major: Number(major), minor: Number(minor) };
}

function parseEntry({ digest, url }: { digest: string; url: string }, place: string, subject: string): ThinEntry {
  if (!/^[0-9a-f]{64}$/.test(digest)) {
    throw malformed(`${place}.digest: not the 64 hex digits of a sha256`, subject);
  }
  const [, repository = '', path = ''] = /^cvmfs:\/\/([^/]*)\/(.*)$/s.exec(url) ?? [];
  const fault = repositoryFault(repository) ?? pathFault(path);
  if (fault !== undefined) throw malformed(`${place}.url: ${fault}`, subject);
  return { digest, url, repository, path };
}

function repositoryFault(name: string): string | undefined {
  if (name === '') return 'not of the form cvmfs://<repository>/<path>';
  const label = /^[A-Za-z0-9][A-Za-z0-9_-]*$/;
  const labels = name.split('.');
  if (name.length <= 253 && labels.length >= 2 && labels.every((part) => label.test(part))) return undefined;
  return 'its repository is not named like a host, sw.example.org';
}

/** A path that names a directory below the repository's root, whatever is done with it. */
function pathFault(path: string): string | undefined {
  if (/[\u0000-\u001f\u007f]/.test(path)) return 'its path holds control characters';
  const parts = path.split('/');
  if (parts.some((part) => part === '')) return 'its path has empty parts';
  if (parts.some((part) => part === '.' || part === '..')) return 'its path leads out of the layer that it names';
  if (parts.some((part) => Buffer.byteLength(part) > 255)) return 'a part of its path has more than 255 bytes';
  return undefined;
}

function malformed(reason: string, subject: string, cause?: unknown): StoreError {
  return new StoreError('ERR_MALFORMED_THIN_LAYER', `thin.json: ${reason}`, { subject, cause });
}
