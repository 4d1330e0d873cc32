import { readMountTable } from '@layerstore/linux';

/**
 * Where layers are mounted: every mount point at or below `places`, by the parts of its path. Each driver, and each engine, mounts
 * a layer in a directory of its home that bears the layer's id.
 */
export function mountPointsByName(places: readonly string[]): Map<string, string> {
  const points = new Map<string, string>();
  for (const { mountPoint } of readMountTable()) {
    const place = places.find((directory) => mountPoint.startsWith(`${directory}/`));
    if (place === undefined) continue;
    for (const name of mountPoint.slice(place.length + 1).split('/')) {
      if (!points.has(name)) points.set(name, mountPoint);
    }
  }
  return points;
}
