import { createHash, type Hash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { digestFromHex, fromSystemError, StoreError, type DiffId } from '@layerstore/core';
import { nativeSyscalls, type FileSyscalls } from '@layerstore/linux';
import type { ByteSource } from '../byte-source.js';
import type { LayerTree } from '../layer-tree.js';
import type { TarEntry } from '../tar/entry.js';
import { TarReader } from '../tar/reader.js';
import { readTarSplit } from '../tar-split/reader.js';
import { inlineContent, TarSplitWriter } from '../tar-split/writer.js';
import { LayerWriter, type DeferredWork } from './layer-writer.js';
import type { ContentRecord } from './lost-content.js';
import { resolveApplyLimits, type ApplyLimits } from './limits.js';
import { nameText } from './member-name.js';
import { SplitRecorder } from './split-recorder.js';

export interface ApplyOptions {
  /** Empty, private and not mounted; a `complete` tree holds its parent's content. */
  readonly tree: LayerTree;
  readonly limits?: Partial<ApplyLimits>;
  /** Where the tar-split record is written, durably. */
  readonly tarSplitPath?: string;
  /** Told of every chunk of the tar, in bytes, before it is used; may throw to stop. */
  readonly onBytes?: (count: number) => void;
  readonly syscalls?: FileSyscalls;
}

export interface AppliedLayer {
  /** sha256 of the tar, all its bytes. */
  readonly diffId: DiffId;
  readonly tarSize: number;
  /** Sizes of all files that the archive lists, as docker and podman count a layer. */
  readonly contentSize: number;
  /** Members, markers included. */
  readonly entries: number;
  /** Extended attributes that the file system cannot hold (`user.`, `security.selinux`, foreign ones). */
  readonly unsupportedXattrs: number;
  /**
   * Pseudo-links that the archive brought from an aufs branch. They hold the content of hard links in it and are not
   * themselves in the layer; links that only a running aufs knew of are lost.
   */
  readonly pseudoLinks: number;
  readonly deferred: DeferredWork;
}

/**
 * Unpacks a layer's tar in one synchronous pass: digest, tar-split record and files together. Belongs in a worker thread.
 *
 * The result is the same in every dialect and for every order of members: names are confined to the root, the last of several
 * members with one name wins, whiteouts hide lower content only (`docs/concepts.md`). {@link settleDeferred} must follow
 * when the lower layers are complete. Data is not synced; the tar-split file is.
 *
 * Memory: one chunk, and some 200 bytes per directory; in a complete tree also the names of the members.
 *
 * After an error the tree holds part of the layer: the caller deletes it. No descriptor stays open, no tar-split file
 * is left.
 *
 * @throws StoreError ERR_ARCHIVE_ESCAPE, ERR_MALFORMED_ARCHIVE, ERR_TRUNCATED, ERR_LIMIT_EXCEEDED: the archive is at fault
 * @throws StoreError ERR_EXISTS when the tree is not empty
 * @throws StoreError ERR_NO_SPACE, ERR_NEEDS_ROOT, ERR_INCOMPATIBLE_FILE_SYSTEM, ERR_IO; and whatever the source throws
 */
export function applyLayer(source: ByteSource, options: ApplyOptions): AppliedLayer {
  const { tree, tarSplitPath, syscalls = nativeSyscalls() } = options;
  const limits = resolveApplyLimits(options.limits);
  const bytes = new MeasuredSource(source, options.onBytes);
  let split: TarSplitWriter | undefined;
  let complete = false;
  try {
    split = tarSplitPath === undefined ? undefined : TarSplitWriter.create(tarSplitPath);
    const recorder = split === undefined ? undefined : new SplitRecorder(split);
    using reader = new TarReader(bytes, { limits, ...(recorder === undefined ? {} : { observer: recorder }) });
    using writer = new LayerWriter(syscalls, tree, recorder);
    writer.begin(tree);
    const { entries, contentSize } = addMembers(reader, writer, limits);
    split?.finish();
    if (tarSplitPath !== undefined) inlineLostContent(tarSplitPath, writer);
    const deferred = writer.finish();
    complete = true;
    const { unsupportedXattrs, pseudoLinks } = writer;
    return {
      diffId: bytes.digest(),
      tarSize: bytes.size,
      contentSize,
      entries,
      unsupportedXattrs,
      pseudoLinks,
      deferred,
    };
  } catch (error) {
    throw bytes.failure ?? fromSystemError(error, tree.path);
  } finally {
    split?.[Symbol.dispose]();
    if (!complete && split !== undefined && tarSplitPath !== undefined) rmSync(tarSplitPath, { force: true });
  }
}

function addMembers(
  reader: TarReader,
  writer: LayerWriter,
  limits: ApplyLimits,
): { entries: number; contentSize: number } {
  let entries = 0;
  let contentSize = 0;
  for (let entry = reader.next(); entry !== undefined; entry = reader.next()) {
    entries++;
    contentSize += entry.size;
    try {
      if (contentSize > limits.contentBytes) throw tooMuchContent(limits);
      writer.add(entry, () => reader.payload());
    } catch (error) {
      throw ofMember(error, entry);
    }
  }
  return { entries, contentSize };
}

/** Content that a later member replaced cannot be read from the layer again: it goes into the record. */
function inlineLostContent(tarSplitPath: string, { lost }: LayerWriter): void {
  if (lost?.any === true) inlineContent(tarSplitPath, lost.resolve(contentRecords(tarSplitPath)));
}

function* contentRecords(tarSplitPath: string): Generator<ContentRecord, void, undefined> {
  let position = 0;
  for (const record of readTarSplit(tarSplitPath)) {
    if (record.kind === 'file' && record.size > 0) yield { position, name: record.name };
    position++;
  }
}

/** Names the member in an error that does not say where it happened. */
function ofMember(cause: unknown, entry: TarEntry): StoreError {
  const error = fromSystemError(cause, nameText(entry.name));
  if (error.subject !== undefined) return error;
  const { hint } = error;
  return new StoreError(error.code, error.message, {
    subject: nameText(entry.name),
    ...(hint === undefined ? {} : { hint }),
    cause: error.cause,
  });
}

function tooMuchContent(limits: ApplyLimits): StoreError {
  return new StoreError('ERR_LIMIT_EXCEEDED', `the files exceed the limit of ${limits.contentBytes} bytes`, {
    hint: 'raise the limit only if the archive comes from a source that you trust',
  });
}

/** Counts and hashes the tar on its way to the reader, in whole chunks. */
class MeasuredSource implements Iterable<Buffer> {
  size = 0;
  /** What the source, or the listener, threw: not the archive's fault, so it is passed on as it is. */
  failure: StoreError | undefined;
  readonly #hash: Hash = createHash('sha256');
  readonly #source: ByteSource;
  readonly #onBytes: ((count: number) => void) | undefined;

  constructor(source: ByteSource, onBytes: ((count: number) => void) | undefined) {
    this.#source = source;
    this.#onBytes = onBytes;
  }

  /** Once, when all has been read. */
  digest(): DiffId {
    return digestFromHex(this.#hash.digest('hex'));
  }

  *[Symbol.iterator](): Generator<Buffer, void, undefined> {
    const chunks = this.#source[Symbol.iterator]();
    try {
      for (let step = this.#next(chunks); step.done !== true; step = this.#next(chunks)) {
        this.size += step.value.length;
        this.#hash.update(step.value);
        yield step.value;
      }
    } finally {
      chunks.return?.();
    }
  }

  #next(chunks: Iterator<Buffer, unknown>): IteratorResult<Buffer, unknown> {
    try {
      const step = chunks.next();
      if (step.done !== true) this.#onBytes?.(step.value.length);
      return step;
    } catch (error) {
      this.failure = fromSystemError(error);
      throw this.failure;
    }
  }
}
