import type { DiffId, Digest, OperationOptions } from '@layerstore/core';
import type { Platform } from './platform.js';

/**
 * Where images come from: an archive, a directory, later a registry.
 *
 * Opening a source reads its table of contents; `images` reads and verifies manifests and configs; the bytes of layers
 * are left to the caller, who verifies them against `diffId`, and against `digest` and `size` where the source states them.
 * Disposing removes what the source made for itself (a decompressed archive); layers must have been read by then.
 */
export interface ImageSource extends AsyncDisposable {
  readonly kind: SourceKind;
  /** The path or name that was opened; leads errors. */
  readonly subject: string;
  /**
   * The images of the source, in its order. Of an image for several platforms only the one that fits best is given.
   * Images that share a manifest or config are given once, with all names.
   *
   * Attestations and other things that are not images are left out.
   * @throws StoreError ERR_NO_PLATFORM listing what is there; ERR_IMAGE_NOT_FOUND when `reference` is not among the
   * names; ERR_MALFORMED_IMAGE, ERR_DIGEST_MISMATCH, ERR_SIZE_MISMATCH, ERR_LIMIT_EXCEEDED, ERR_UNSUPPORTED_FORMAT
   */
  images(options?: ImagesOptions): Promise<ImageRecord[]>;
  /**
   * Makes sure that the bytes of a layer lie in `layer.file`. Local sources have them there from the start; a remote
   * one downloads, verifies and reports progress.
   */
  fetch(layer: LayerBlob, options?: OperationOptions): Promise<FileRange>;
}

export type SourceKind = 'docker-archive' | 'oci-archive' | 'oci-layout' | 'docker-directory';

export interface ImagesOptions {
  /** Asked of every image; without it the host's platform decides where an index offers several, and only there. */
  readonly platform?: Platform;
  /** Only the image of this name: a reference, or a tag where the source has bare tags. */
  readonly reference?: string;
  readonly signal?: AbortSignal;
}

export interface ImageRecord {
  /** Complete names in canonical form: `docker.io/library/debian:12`. */
  readonly references: readonly string[];
  /** Names that are only a tag, as `skopeo copy ... oci:DIR:TAG` and umoci leave them. */
  readonly tags: readonly string[];
  /** `digest` is the image ID. */
  readonly config: { readonly bytes: Buffer; readonly digest: Digest };
  /** Absent where the format has none (docker-archive). */
  readonly manifest?: { readonly bytes: Buffer; readonly digest: Digest; readonly mediaType: string };
  readonly platform: Platform;
  /** Base first. */
  readonly diffIds: readonly DiffId[];
  /** As many as `diffIds`, in the same order. */
  readonly layers: readonly LayerBlob[];
}

/** A layer as it is stored: a tar, plain or compressed. Which compression is for the reader to detect. */
export interface LayerBlob {
  readonly diffId: DiffId;
  readonly file: FileRange;
  /** Of the blob as stored, when the format states one. */
  readonly digest?: Digest;
  /** Bytes as stored, when the format states them. */
  readonly size?: number;
  readonly mediaType?: string;
}

/** A run of bytes in a regular file. */
export interface FileRange {
  readonly path: string;
  readonly offset: number;
  readonly length: number;
}
