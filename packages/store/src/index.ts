export { LayerStore, type OpenOptions } from './layer-store.js';
export { Images } from './images/images.js';
export type { LoadOptions } from './images/load.js';
export type { ImportOptions } from './images/import.js';
export { inspectRemote, type InspectRemoteOptions } from './images/inspect-remote.js';
export type { PullOptions } from './images/pull.js';
export type { PushOptions } from './images/push.js';
export type { SaveFormat, SaveOptions } from './images/save.js';
export { Containers } from './containers/containers.js';
export type { CommitOptions } from './containers/commit.js';
export type { CreateContainerOptions } from './containers/create.js';
export type { Mounted, MountLifetime } from './containers/mount.js';
export type { RunOptions, RunResult } from './containers/run.js';
export { Snapshots, type SnapshotPage } from './snapshots/snapshots.js';
export type { AdoptOptions } from './snapshots/adopt.js';
export type { CommitSnapshotOptions } from './snapshots/commit.js';
export type { OrphanOptions } from './snapshots/orphans.js';
export type { PreparedSnapshot, PrepareOptions, SnapshotLayer, SnapshotMount } from './snapshots/prepare.js';
export type { Recovery } from './snapshots/recover.js';
export type { Labels } from './snapshots/snapshot-records.js';
export type { LabelChange } from './snapshots/update.js';
export type { Workspace } from './workspace.js';
export { Workspaces } from './workspaces.js';
export type { CheckOptions } from './maintenance/check.js';
export type { PruneOptions } from './maintenance/prune.js';
export { LayerHome, type OpenHomeOptions } from './homes/layer-home.js';
export type { ComparedLayer, HomeInfo, HomeLayer, HomeLayerDetails } from './homes/model.js';
export type { RecordedStart } from './thin/record-start.js';
export { nativeRepositories } from './thin/native-repositories.js';
export { credentialFiles } from './images/credential-files.js';
export { makeThinImage, type MakeThinImageOptions, type MadeThinImage } from './thin/make-thin-image.js';
export { publishArchive, type PublishArchiveOptions, type PublishedArchive } from './thin/publish-archive.js';
export type { ThinDocument } from './thin/thin-document.js';
export type { Source } from './source.js';
export type { Target } from './target.js';
export { version } from './version.js';
export * from './model.js';
export type {
  CredentialFilesOptions,
  Credentials,
  CredentialSource,
  Patience,
  Proxies,
  RegistryOptions,
  RemoteDetails,
  RemoteEntry,
  RemoteImageDetails,
  ShortNames,
} from '@layerstore/oci';
