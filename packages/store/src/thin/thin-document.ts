import { digestHex, type Digest } from '@layerstore/core';
import { layerDirectory } from '@layerstore/cvmfs';

/** `thin.json`, version 1.0: the layers, base first, that a thin image stands for. */
export interface ThinDocument {
  readonly version: '1.0';
  readonly min_version: '1.0';
  /** Name of the image that it was made from. */
  readonly origin?: string;
  readonly layers: readonly { readonly digest: string; readonly url: string }[];
}

/** @param digests of published layers, base first */
export function thinDocument(repository: string, digests: readonly Digest[], origin: string | undefined): ThinDocument {
  const layers = digests.map((digest) => ({
    digest: digestHex(digest),
    url: `cvmfs://${repository}${layerDirectory(digest)}/layerfs`,
  }));
  return { version: '1.0', min_version: '1.0', ...(origin === undefined ? {} : { origin }), layers };
}
