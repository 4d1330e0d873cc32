import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { decompress, type Compression } from '@layerstore/archive';
import { fromSystemError, randomId, StoreError, throwIfAborted } from '@layerstore/core';
import { errorAbout } from './error-about.js';
import { fileChunks } from './file-chunks.js';

/**
 * Decompresses a whole archive (`docker save | gzip`) into a new file in `directory`, since layers inside are read at any
 * offset.
 * Cost: one pass in this thread, other work of the event loop running between chunks, and the archive's size on disk.
 * @returns the path of the file, mode 0600; nothing is left behind on failure
 * @throws StoreError what decompressing throws; ERR_NO_SPACE, ERR_IO, ERR_ABORTED
 */
export async function expandArchive(
  archive: { readonly path: string; readonly size: number },
  compression: Compression,
  directory: string,
  signal?: AbortSignal,
): Promise<string> {
  const path = join(directory, `archive-${randomId().slice(0, 12)}.tar`);
  try {
    await using file = await open(path, 'wx', 0o600);
    const source = fileChunks({ path: archive.path, offset: 0, length: archive.size });
    for (const chunk of decompress(source, compression)) {
      throwIfAborted(signal);
      await file.writeFile(chunk);
    }
    return path;
  } catch (error) {
    await rm(path, { force: true });
    throw StoreError.is(error) ? errorAbout(error, archive.path) : fromSystemError(error, path);
  }
}
