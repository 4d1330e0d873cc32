/** Leaves that time alone (linux/stat.h). */
const UTIME_OMIT = 0x3ffffffen;
const second = 1_000_000_000n;

/** Two struct timespec, accessed and modified, as utimensat(2) takes them. */
export class TimesBuffer {
  readonly words = new BigInt64Array(4);

  set(accessedNs: bigint | undefined, modifiedNs: bigint | undefined): void {
    this.#put(0, accessedNs);
    this.#put(2, modifiedNs);
  }

  #put(index: number, time: bigint | undefined): void {
    if (time === undefined) {
      this.words[index] = 0n;
      this.words[index + 1] = UTIME_OMIT;
      return;
    }
    // tv_nsec counts upwards also before 1970, so seconds are rounded down.
    const rest = time % second;
    this.words[index] = rest < 0n ? time / second - 1n : time / second;
    this.words[index + 1] = rest < 0n ? rest + second : rest;
  }
}
