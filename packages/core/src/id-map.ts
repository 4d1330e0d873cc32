/**
 * Owners as a container sees them and as the host keeps them, as in user_namespaces(7), `uid_map`.
 */
export interface IdRange {
  /** First id inside. */
  readonly container: number;
  /** First id on the host. */
  readonly host: number;
  /** Number of ids, at least 1. */
  readonly size: number;
}

export interface IdMaps {
  readonly uids: readonly IdRange[];
  readonly gids: readonly IdRange[];
}
