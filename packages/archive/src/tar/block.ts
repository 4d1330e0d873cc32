/** Tar archives are made of blocks of 512 bytes (POSIX.1-2017, pax, "ustar Interchange Format"). */
export const BLOCK_SIZE = 512;

const zeros = Buffer.alloc(BLOCK_SIZE);

/** Two blocks of zeros: what closes an archive. Not to be written to. */
export const END_OF_ARCHIVE: Buffer = Buffer.alloc(2 * BLOCK_SIZE);

/** Bytes between the end of a payload of `size` bytes and the next block. */
export function paddingLength(size: number): number {
  return (BLOCK_SIZE - (size % BLOCK_SIZE)) % BLOCK_SIZE;
}

/** The zeros that follow a payload of `size` bytes. Not to be written to. */
export function padding(size: number): Buffer {
  return zeros.subarray(0, paddingLength(size));
}

/** True for a block, or the cut beginning of one, that holds nothing but zeros. */
export function isZeroBlock(block: Buffer): boolean {
  return block[0] === 0 && block.compare(zeros, 0, block.length) === 0;
}
