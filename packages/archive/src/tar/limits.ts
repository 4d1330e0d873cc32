/**
 * What a tar archive may cost the reader before it is refused with ERR_LIMIT_EXCEEDED.
 *
 * An archive states its own sizes, so every amount of memory that follows from one is bounded here.
 */
export interface TarLimits {
  /** Headers of the whole archive, extension headers included. Default 10,000,000. */
  readonly members: number;
  /** Bytes of one PAX or GNU long-name block, and of all global PAX records together. Default 1 MiB, as Go's archive/tar. */
  readonly extensionBytes: number;
  /** Global PAX records in force at a time. Default 128: each one is looked at for every member. */
  readonly globalRecords: number;
  /** Bytes of a name or link target. Default 4096, the kernel's PATH_MAX. */
  readonly pathBytes: number;
  /** Bytes of one component of a name or of a hard-link target. Default 255, the kernel's NAME_MAX. */
  readonly componentBytes: number;
  /** Bytes of one extended attribute value. Default 64 KiB, the kernel's XATTR_SIZE_MAX. */
  readonly xattrBytes: number;
  /** Data segments of one sparse file. Default 262,144 (about 10 MB of memory). */
  readonly sparseSegments: number;
}

export const defaultTarLimits: TarLimits = {
  members: 10_000_000,
  extensionBytes: 1 << 20,
  globalRecords: 128,
  pathBytes: 4096,
  componentBytes: 255,
  xattrBytes: 1 << 16,
  sparseSegments: 1 << 18,
};

/** Fills what `limits` leaves out with the defaults. */
export function resolveTarLimits(limits: Partial<TarLimits> = {}): TarLimits {
  return { ...defaultTarLimits, ...limits };
}
