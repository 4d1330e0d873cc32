import type { BlobSource } from '@layerstore/archive';

/** Where the bytes of a layer come from: a file, or a download that may still be under way. */
export interface LayerContent {
  /** Bytes. */
  readonly length: number;
  /** Told once, before anything is read, for layers that turned out to be missing. What fails is thrown by {@link read}. */
  begin(signal: AbortSignal): void;
  /**
   * Lends the bytes to `use`. Resolves or rejects only when `use` has ended.
   * @throws StoreError what `use` throws; for a download what broke it
   */
  read<Result>(use: (source: BlobSource, signal: AbortSignal) => Promise<Result>, signal: AbortSignal): Promise<Result>;
}

/** A run of bytes in a file that is complete. */
export function fileContent(range: {
  readonly path: string;
  readonly offset: number;
  readonly length: number;
}): LayerContent {
  return {
    length: range.length,
    begin: () => undefined,
    read: (use, signal) => use(range, signal),
  };
}
