import { digestHex, type Digest } from '@layerstore/core';

/** `/.layers/bf/bf22...`: the directory of a layer in a repository; the layer itself is `layerfs` in it. */
export function layerDirectory(digest: Digest): string {
  const hex = digestHex(digest);
  return `/.layers/${hex.slice(0, 2)}/${hex}`;
}
