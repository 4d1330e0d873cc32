/**
 * The table of every error that layerstore raises on purpose.
 *
 * One row per code: what it means, the exit status of the command line, the HTTP status of the Docker plugin, and the
 * gRPC status of the containerd snapshotter. `docs/errors.md` documents the same rows; a test holds the two together.
 */
export interface ErrorClass {
  /** What went wrong, as a lower-case phrase. */
  readonly meaning: string;
  /** Exit status of the command line: 1 failure, 125 usage. */
  readonly exit: 1 | 125;
  readonly http: number;
  /** gRPC canonical status name. */
  readonly grpc: string;
}

const failure = (meaning: string, http: number, grpc: string): ErrorClass => ({ meaning, exit: 1, http, grpc });
const usage = (meaning: string): ErrorClass => ({ meaning, exit: 125, http: 400, grpc: 'INVALID_ARGUMENT' });

export const errorCodes = {
  ERR_INVALID_ARGUMENT: usage('a value that was passed is not acceptable'),
  ERR_INVALID_ID: usage('an identifier has a form that is not allowed'),
  ERR_INVALID_REFERENCE: usage('an image reference cannot be parsed'),
  ERR_UNKNOWN_OPTION: usage('an option is not known to the driver or command'),

  ERR_NOT_FOUND: failure('the named object does not exist', 404, 'NOT_FOUND'),
  ERR_IMAGE_NOT_FOUND: failure('the image does not exist', 404, 'NOT_FOUND'),
  ERR_CONTAINER_NOT_FOUND: failure('the container does not exist', 404, 'NOT_FOUND'),
  ERR_LAYER_NOT_FOUND: failure('the layer does not exist', 404, 'NOT_FOUND'),
  ERR_SNAPSHOT_NOT_FOUND: failure('the snapshot does not exist', 404, 'NOT_FOUND'),
  ERR_AMBIGUOUS_ID: failure('an abbreviated id matches several objects', 409, 'FAILED_PRECONDITION'),
  ERR_EXISTS: failure('an object with this name exists already', 409, 'ALREADY_EXISTS'),
  ERR_BUSY: failure('the object is in use', 409, 'FAILED_PRECONDITION'),
  ERR_LAYER_HAS_CHILDREN: failure('the layer has children', 409, 'FAILED_PRECONDITION'),
  ERR_SNAPSHOT_HAS_CHILDREN: failure('other snapshots stand on the snapshot', 409, 'FAILED_PRECONDITION'),
  ERR_WRONG_KIND: failure('the snapshot is of a kind that does not allow the operation', 409, 'FAILED_PRECONDITION'),
  ERR_MAX_DEPTH: failure('the stack has more layers than the driver can mount', 400, 'FAILED_PRECONDITION'),

  ERR_MALFORMED_ARCHIVE: failure('an archive does not follow its format', 400, 'INVALID_ARGUMENT'),
  ERR_TRUNCATED: failure('the data ends before its stated end', 400, 'DATA_LOSS'),
  ERR_ARCHIVE_ESCAPE: failure('a member of an archive points outside the layer', 400, 'INVALID_ARGUMENT'),
  ERR_LIMIT_EXCEEDED: failure('the data exceeds a stated limit', 413, 'RESOURCE_EXHAUSTED'),
  ERR_UNSUPPORTED_FORMAT: failure('the format is known but not supported', 415, 'UNIMPLEMENTED'),
  ERR_MALFORMED_THIN_LAYER: failure('the list of a thin layer does not follow its format', 400, 'INVALID_ARGUMENT'),
  ERR_MALFORMED_IMAGE: failure('a manifest, config or layout does not follow its format', 400, 'INVALID_ARGUMENT'),
  ERR_NO_PLATFORM: failure('no image in the index fits the platform', 404, 'NOT_FOUND'),
  ERR_DIGEST_MISMATCH: failure('the data does not have the digest it was named by', 400, 'DATA_LOSS'),
  ERR_SIZE_MISMATCH: failure('the data does not have the stated size', 400, 'DATA_LOSS'),

  ERR_REGISTRY_UNREACHABLE: failure('the registry cannot be reached', 503, 'UNAVAILABLE'),
  ERR_REGISTRY_DENIED: failure('the registry refuses access', 403, 'PERMISSION_DENIED'),
  ERR_REGISTRY_FAILED: failure('the registry reports an error or breaks its protocol', 502, 'UNAVAILABLE'),
  ERR_UNSAFE_TRANSFER: failure(
    'a transfer would endanger credentials or the local network',
    403,
    'FAILED_PRECONDITION',
  ),

  ERR_REPOSITORY_NOT_CONFIGURED: failure('no server or no key is known for the repository', 404, 'NOT_FOUND'),
  ERR_REPOSITORY_UNREACHABLE: failure('no server of the repository can be reached', 503, 'UNAVAILABLE'),
  ERR_REPOSITORY_UNTRUSTED: failure(
    'nobody who is trusted vouches for the repository, or not any more',
    403,
    'FAILED_PRECONDITION',
  ),
  ERR_REPOSITORY_ROLLED_BACK: failure(
    'the repository shows an older revision than it did before',
    409,
    'FAILED_PRECONDITION',
  ),
  ERR_MALFORMED_REPOSITORY: failure('a part of the repository does not follow its format', 502, 'DATA_LOSS'),
  ERR_REVISION_NOT_FOUND: failure('the repository has no such revision', 404, 'NOT_FOUND'),
  ERR_OBJECT_UNAVAILABLE: failure('no server has an intact copy of an object', 502, 'UNAVAILABLE'),

  ERR_STORE_LOCKED: failure('another process holds the store for longer than the waiting time', 503, 'UNAVAILABLE'),
  ERR_STORE_VERSION: failure('the root was made by a newer layerstore', 500, 'FAILED_PRECONDITION'),
  ERR_STORE_DAMAGED: failure('a record or a layer of the store is damaged', 500, 'DATA_LOSS'),
  ERR_NOT_A_STORE: failure('the directory is not a layerstore root', 400, 'FAILED_PRECONDITION'),
  ERR_DRIVER_MISMATCH: failure('the root was created with another driver', 409, 'FAILED_PRECONDITION'),
  ERR_NOT_A_HOME: failure('the directory is not a home of the driver', 400, 'FAILED_PRECONDITION'),
  ERR_READ_ONLY: failure('the home or its file system takes no writes', 403, 'FAILED_PRECONDITION'),
  ERR_NO_HOME: failure('the engine has not said which home the plugin shall serve', 409, 'FAILED_PRECONDITION'),
  ERR_CLOSED: failure('the store is closed', 503, 'UNAVAILABLE'),

  ERR_UNKNOWN_DRIVER: usage('no driver has this name'),
  ERR_NOT_SUPPORTED: failure('the driver does not support the operation', 501, 'UNIMPLEMENTED'),
  ERR_MISSING_PREREQUISITE: failure('a program, kernel feature or device is missing', 500, 'FAILED_PRECONDITION'),
  ERR_INCOMPATIBLE_FILE_SYSTEM: failure('the backing file system cannot carry the driver', 500, 'FAILED_PRECONDITION'),
  ERR_ID_NOT_MAPPED: failure('an owner has no counterpart in the id maps', 400, 'FAILED_PRECONDITION'),
  ERR_UNSUPPORTED_PLATFORM: failure('the operation needs Linux', 501, 'UNIMPLEMENTED'),
  ERR_NEEDS_ROOT: failure('the operation needs root', 403, 'PERMISSION_DENIED'),
  ERR_MOUNT_FAILED: failure('the kernel refused a mount', 500, 'INTERNAL'),
  ERR_NO_SPACE: failure('the file system is full', 507, 'RESOURCE_EXHAUSTED'),
  ERR_IO: failure('the operating system reported an error', 500, 'INTERNAL'),
  ERR_TIMED_OUT: failure('the operation took longer than it may', 504, 'DEADLINE_EXCEEDED'),
  ERR_ABORTED: failure('the operation was cancelled', 499, 'CANCELLED'),
  ERR_INTERNAL: failure('layerstore itself is at fault', 500, 'INTERNAL'),
} as const satisfies Record<string, ErrorClass>;

/** Every code that a {@link StoreError} can carry. */
export type ErrorCode = keyof typeof errorCodes;
