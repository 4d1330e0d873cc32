export * from './configuration/configuration.js';
export * from './format/blacklist.js';
export * from './format/catalog-schema.js';
export * from './format/content-hash.js';
export * from './format/device-number.js';
export * from './format/entry-flags.js';
export * from './format/extended-attributes.js';
export * from './format/fingerprint.js';
export * from './format/history-schema.js';
export * from './format/manifest.js';
export * from './format/object-reference.js';
export * from './format/path-hash.js';
export * from './format/repository-name.js';
export * from './format/signed-text.js';
export * from './format/variable-link.js';
export * from './format/whitelist.js';
export type * from './objects/object-source.js';
export type * from './repository/answer.js';
export * from './repository/entry.js';
export type * from './repository/revision-reader.js';
export type * from './repository/revision-record.js';
export { LocalObjects } from './objects/local-objects.js';
export { Revision, rootCatalogOf, type OpenRevisionOptions } from './repository/revision.js';
export { Repository, type OpenRepositoryOptions } from './repository/repository.js';
export { ObjectCache, type CacheCheck, type ObjectCacheOptions } from './objects/object-cache.js';
export type { CleanUpOutcome } from './objects/clean-up.js';
export { Sources } from './transport/sources.js';
export type { Head } from './trust/head.js';
export {
  defaultCacheDirectory,
  readConfiguration,
  type ReadConfigurationOptions,
} from './configuration/read-configuration.js';
export { answered, findEntry, listEntries, walkEntries } from './repository/answered.js';
export { readContent } from './repository/read-content.js';
export type * from './file-system/lazy-mount.js';
export { LazyRepositories, type LazyRepositoriesOptions } from './file-system/lazy-repositories.js';
export { isMountedOn, mountOnDirectory, unmountDirectory } from './file-system/mount-directory.js';
export { initRepository, type InitRepositoryOptions } from './publish/init-repository.js';
export { layerDirectory } from './publish/layer-path.js';
export {
  publishLayers,
  type LayerSource,
  type LayerToPublish,
  type PublishLayersOptions,
} from './publish/publish-layers.js';
export type { PublishedRevision } from './publish/publish-revision.js';
export { PublisherKeys } from './publish/publisher-keys.js';
export { renewWhitelist, WHITELIST_DAYS } from './publish/renew-whitelist.js';
export type { NewTag } from './publish/update-history.js';
