import { existsSync } from 'node:fs';
import type { BlobSource } from '@layerstore/archive';
import { StoreError } from '@layerstore/core';
import { usageError } from '../../failures.js';

/**
 * Where `layer apply` reads a tar: a file or a pipe, or stdin for `-`.
 * @throws StoreError ERR_INVALID_ARGUMENT, ERR_NOT_FOUND
 */
export function layerSource(input: string): BlobSource {
  if (input !== '-') {
    if (existsSync(input)) return { path: input };
    throw new StoreError('ERR_NOT_FOUND', 'no such file', { subject: input });
  }
  if (!process.stdin.isTTY) return { fd: process.stdin.fd };
  throw usageError('stdin is a terminal: no archive comes from it', 'name a file, or pipe an archive into the command');
}
