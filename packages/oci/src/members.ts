import { open } from 'node:fs/promises';
import { fromSystemError, StoreError } from '@layerstore/core';
import { DOCUMENT_LIMIT } from './document.js';
import type { FileRange } from './image-source.js';

/**
 * The files of an image archive or directory by name, with no regard to what they mean.
 *
 * Names are looked up, never created on disk: relative, `/` between components, without `.` and `..`.
 */
export interface Members {
  /** The archive or directory; leads errors. */
  readonly subject: string;
  readonly form: 'archive' | 'directory';
  lookup(name: string): Promise<Member | undefined>;
  /** Every name, links included. */
  names(): Promise<Iterable<string>>;
}

/** `repeated`: an archive has several of this name, and this is the last. */
export type Member = MemberPlace & { readonly repeated: boolean };

export type MemberPlace =
  | { readonly kind: 'file'; readonly range: FileRange }
  /** `target` is a name, already resolved from where the link stands; undefined when it leaves the archive. */
  | { readonly kind: 'link'; readonly target: string | undefined; readonly text: string }
  | { readonly kind: 'other'; readonly type: string };

/** More links in a row are taken for a loop. */
const LINK_LIMIT = 16;

/** Blobs are verified by the digest that names them, so which of two equal names is read makes no difference. */
const namedByDigest = /^blobs\/sha256\/[0-9a-f]{64}$/;

/**
 * Finds a file, following links inside the archive: old `docker save` and skopeo write layers as symlinks to others.
 * @returns undefined when there is no member of this name
 * @throws StoreError ERR_MALFORMED_IMAGE for what is no file, repeated names, link loops and broken links;
 * ERR_ARCHIVE_ESCAPE for links that point outside
 */
export async function findMember(members: Members, name: string): Promise<FileRange | undefined> {
  const wrong = (reason: string): StoreError =>
    new StoreError('ERR_MALFORMED_IMAGE', reason, { subject: `${members.subject}: ${name}` });
  let current = memberName(name);
  if (current === undefined) throw wrong('not a name of a member');
  for (let links = 0; links <= LINK_LIMIT; links++) {
    const member = await members.lookup(current);
    if (member === undefined && links === 0) return undefined;
    if (member === undefined) throw wrong(`links to ${current}, which is not there`);
    // Of two members with one name some programs read the first and some the last: an image with two faces.
    if (member.repeated && !namedByDigest.test(current)) throw wrong('appears more than once');
    if (member.kind === 'other') throw wrong(`is a ${member.type}, not a file`);
    if (member.kind === 'file') return member.range;
    if (member.target === undefined) {
      throw new StoreError('ERR_ARCHIVE_ESCAPE', `links to ${member.text}, outside the archive`, {
        subject: `${members.subject}: ${name}`,
      });
    }
    current = member.target;
  }
  throw wrong('links go round in a circle');
}

/** Reads a small member. @throws StoreError as {@link findMember}; ERR_LIMIT_EXCEEDED above DOCUMENT_LIMIT */
export async function readMember(members: Members, name: string): Promise<Buffer | undefined> {
  const range = await findMember(members, name);
  return range === undefined ? undefined : await readRange(range, `${members.subject}: ${name}`);
}

/** Reads a small run of bytes. @throws StoreError ERR_LIMIT_EXCEEDED above DOCUMENT_LIMIT; ERR_TRUNCATED */
export async function readRange(range: FileRange, subject: string): Promise<Buffer> {
  if (range.length > DOCUMENT_LIMIT) {
    throw new StoreError('ERR_LIMIT_EXCEEDED', `${range.length} bytes, the limit is ${DOCUMENT_LIMIT}`, { subject });
  }
  try {
    return await readAll(range, subject);
  } catch (error) {
    throw fromSystemError(error, subject);
  }
}

async function readAll(range: FileRange, subject: string): Promise<Buffer> {
  const bytes = Buffer.alloc(range.length);
  await using file = await open(range.path, 'r');
  for (let filled = 0; filled < bytes.length;) {
    const { bytesRead } = await file.read(bytes, filled, bytes.length - filled, range.offset + filled);
    if (bytesRead === 0) throw new StoreError('ERR_TRUNCATED', 'ends before its stated size', { subject });
    filled += bytesRead;
  }
  return bytes;
}

/** Cleans a name as archives spell it (`./a`, `/a`, `a//b`, `a/`); undefined for an empty one and for one with `..`. */
export function memberName(name: string): string | undefined {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  return parts.length === 0 || parts.includes('..') || name.includes('\0') ? undefined : parts.join('/');
}

/** Resolves a link's target from the directory it stands in; undefined when it leaves the archive. */
export function linkTarget(directory: string, target: string): string | undefined {
  if (target.startsWith('/') || target.includes('\0')) return undefined;
  const parts = directory.split('/').filter((part) => part !== '');
  for (const part of target.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') parts.push(part);
    else if (parts.pop() === undefined) return undefined;
  }
  return parts.length === 0 ? undefined : parts.join('/');
}
