/** The media types of OCI image-spec 1.1 (media-types.md) and of Docker's image manifest version 2, schema 2. */
export const mediaTypes = {
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  ociLayer: 'application/vnd.oci.image.layer.v1.tar',
  ociLayerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  ociLayerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerManifestList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayer: 'application/vnd.docker.image.rootfs.diff.tar',
  dockerLayerGzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
} as const;

export type LayerCompression = 'none' | 'gzip' | 'zstd';

const manifests: ReadonlySet<string> = new Set([mediaTypes.ociManifest, mediaTypes.dockerManifest]);
const indexes: ReadonlySet<string> = new Set([mediaTypes.ociIndex, mediaTypes.dockerManifestList]);
const configs: ReadonlySet<string> = new Set([mediaTypes.ociConfig, mediaTypes.dockerConfig]);
const layers =
  /^application\/vnd\.(oci\.image\.layer\.(nondistributable\.)?v1\.tar(\+(gzip|zstd))?|docker\.image\.rootfs\.(foreign\.)?diff\.tar(\.(gzip|zstd))?)$/;

export function isManifestType(mediaType: string): boolean {
  return manifests.has(mediaType);
}

export function isIndexType(mediaType: string): boolean {
  return indexes.has(mediaType);
}

/** Docker's manifests before 1.10: recognised, so that they are refused by name. */
export function isSchemaOneType(mediaType: string): boolean {
  return mediaType.startsWith('application/vnd.docker.distribution.manifest.v1+');
}

export function isImageConfigType(mediaType: string): boolean {
  return configs.has(mediaType);
}

/**
 * True for layers that hold a tar. The compression that the type names is a hint only: skopeo copies plain tars under
 * Docker's gzip type, so readers look at the bytes.
 */
export function isLayerType(mediaType: string): boolean {
  return layers.test(mediaType);
}

/** The compression that a layer's type names; undefined for what is no layer. */
export function namedCompression(mediaType: string): LayerCompression | undefined {
  if (!isLayerType(mediaType)) return undefined;
  if (mediaType.endsWith('zstd')) return 'zstd';
  return mediaType.endsWith('gzip') ? 'gzip' : 'none';
}

/** Layers that registries do not hold, because their licence forbids it: `urls` of the descriptor say where they are. */
export function isForeignLayerType(mediaType: string): boolean {
  return isLayerType(mediaType) && /\.(nondistributable|foreign)\./.test(mediaType);
}

/** The OCI media type of a layer with this compression. */
export function layerType(compression: LayerCompression): string {
  switch (compression) {
    case 'none':
      return mediaTypes.ociLayer;
    case 'gzip':
      return mediaTypes.ociLayerGzip;
    case 'zstd':
      return mediaTypes.ociLayerZstd;
  }
}
