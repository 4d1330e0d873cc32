/** Bytes per buffer: with zlib, 1 MiB steps are twice as fast as 16 KiB ones. */
export const BUFFER_SIZE = 1024 * 1024;
