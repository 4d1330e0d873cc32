import { renameSync } from 'node:fs';
import { fromSystemError, StoreError } from '@layerstore/core';
import { Crc64 } from './crc64.js';
import { readSavedContent } from './content.js';
import { readTarSplit } from './reader.js';
import { RecordFile } from './record-file.js';

const NO_CHECKSUM = Buffer.alloc(0);

/**
 * Writes the tar-split file of a layer while its archive is read, in the form that dockerd, podman and buildah read
 * ({@link TarSplitRecord}). Calls come in the order of the archive's bytes.
 *
 * Memory stays at about 2 MiB. The file is made anew, with mode 0600, and is gone again if the writer is disposed of
 * before {@link finish}. A name may come twice, as in an archive that replaces its own members; Go's tar-split refuses
 * such archives, so no other tool will ask for these records.
 */
export class TarSplitWriter implements Disposable {
  readonly #records: RecordFile;
  readonly #sum = new Crc64();
  #file: { readonly name: Buffer; readonly size: number; rest: number } | undefined;

  private constructor(records: RecordFile) {
    this.#records = records;
  }

  /** @throws StoreError ERR_IO and the like when `path` exists or cannot be made */
  static create(path: string): TarSplitWriter {
    return new TarSplitWriter(new RecordFile(path));
  }

  /** Adds raw bytes: headers, padding, the end, and content that the layer does not hold as it is. */
  segment(bytes: Buffer): void {
    this.#expectNoFile();
    this.#records.segment(bytes);
  }

  /**
   * Begins the record of a member and returns its position. `size` bytes of {@link payload} follow; with size 0 the
   * record is complete. `name` is how the archive names the member, and what {@link joinTarSplit} asks for.
   */
  file(name: Buffer, size: number): number {
    this.#expectNoFile();
    const position = this.#records.beginFile();
    if (size === 0) this.#records.file(name, 0, NO_CHECKSUM);
    else this.#file = { name: Buffer.from(name), size, rest: size };
    return position;
  }

  /** Content of the file that was begun, in order; only its sum is kept. */
  payload(bytes: Buffer): void {
    const file = this.#file;
    if (file === undefined || bytes.length > file.rest) {
      throw new StoreError('ERR_INTERNAL', 'more content than the file was announced with', {
        subject: this.#records.path,
      });
    }
    this.#sum.update(bytes);
    file.rest -= bytes.length;
    if (file.rest > 0) return;
    this.#records.file(file.name, file.size, this.#sum.digest());
    this.#sum.reset();
    this.#file = undefined;
  }

  /**
   * Completes the file and syncs it; the caller syncs its directory. `inlined` names, by position, the records whose
   * content the layer no longer holds, and where it was saved: their bytes go into the record itself, for which the file
   * is written once more.
   * @throws StoreError ERR_STORE_DAMAGED when a saved file is not what was recorded; ERR_NO_SPACE, ERR_IO
   */
  finish(inlined: ReadonlyMap<number, string> = new Map()): void {
    this.#expectNoFile();
    this.#records.finish();
    if (inlined.size > 0) inlineContent(this.#records.path, inlined);
  }

  [Symbol.dispose](): void {
    this.#records[Symbol.dispose]();
  }

  #expectNoFile(): void {
    if (this.#file === undefined) return;
    throw new StoreError('ERR_INTERNAL', 'less content than the file was announced with', {
      subject: this.#records.path,
    });
  }
}

/**
 * Puts content that the layer no longer holds into the records of a finished file: by position, where it was saved.
 * @throws StoreError ERR_STORE_DAMAGED when a saved file is not what was recorded; ERR_NO_SPACE, ERR_IO
 */
export function inlineContent(path: string, inlined: ReadonlyMap<number, string>): void {
  using records = new RecordFile(`${path}.inlined`);
  let position = 0;
  for (const record of readTarSplit(path)) {
    const saved = inlined.get(position);
    position += 1;
    if (record.kind === 'segment') {
      records.segment(record.payload);
    } else if (saved === undefined) {
      records.beginFile();
      records.file(record.name, record.size, record.checksum);
    } else {
      for (const chunk of readSavedContent(saved, record)) records.segment(chunk);
    }
  }
  records.finish();
  try {
    renameSync(records.path, path);
  } catch (error) {
    throw fromSystemError(error, path);
  }
}
