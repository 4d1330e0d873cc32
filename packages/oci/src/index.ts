export { changeExecution } from './config-change.js';
export {
  configPlatform,
  parseImageConfig,
  type ExecutionConfig,
  type HistoryEntry,
  type ImageConfig,
} from './config.js';
export type { BlobReference, Descriptor } from './descriptor.js';
export { DOCUMENT_LIMIT } from './document.js';
export type * from './image-source.js';
export {
  encodeIndex,
  encodeManifest,
  LAYER_LIMIT,
  parseManifest,
  type ImageIndex,
  type ImageManifest,
} from './manifest.js';
export { loadRegistry } from './load-registry.js';
export { measureLayer, type LayerMeasure } from './measure-layer.js';
export * from './media-type.js';
export { newImageConfig, type NewImageConfigOptions } from './new-image-config.js';
export { openImageSource, type OpenImageSourceOptions } from './open-image-source.js';
export { planDockerArchive, planOciArchive, type ArchivePart } from './plan-archive.js';
export { planOciLayout, type BytesPart, type ExportImage, type ExportLayer, type PlannedFile } from './plan-layout.js';
export {
  bestForPlatform,
  formatPlatform,
  hostPlatform,
  normalisePlatform,
  parsePlatform,
  runnablePlatforms,
  type LoosePlatform,
  type Platform,
} from './platform.js';
export {
  canonicalName,
  familiarName,
  normaliseReference,
  parseReference,
  withDefaultTag,
  type Reference,
} from './reference.js';
export type { BlobSink } from './registry/blobs.js';
export type { CredentialFilesOptions } from './registry/credential-files.js';
export type { RemoteDetails, RemoteEntry, RemoteImageDetails } from './registry/inspect-remote.js';
export type * from './registry/options.js';
export type { RequestOptions } from './registry/manifests.js';
export type { RemoteImage } from './registry/remote-image.js';
export type { Repository } from './registry/repository.js';
export type { UploadedBlob, UploadSession } from './registry/upload.js';
export { validateSource, type Mismatch } from './validate.js';
