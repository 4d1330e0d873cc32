/** The registry client: what `loadRegistry` gives. */
export type { OnPause } from './backoff.js';
export { downloadBlob, hasBlob, type BlobSink } from './blobs.js';
export { credentialFiles, type CredentialFilesOptions } from './credential-files.js';
export { inspectReference } from './inspect-remote.js';
export { putManifest, type RequestOptions } from './manifests.js';
export { resolveImage, type RemoteImage } from './remote-image.js';
export { Repository } from './repository.js';
export { shortNameCandidates } from './short-names.js';
export { mountBlob, uploadBlob, type UploadedBlob, type UploadSession } from './upload.js';
