import { writeSync } from 'node:fs';

const stdout = 1;
const millisecondsBetweenTries = 5;

/**
 * Writes all of `data` to stdout before it returns. `process.stdout` would cost a tenth of the time that a short command takes, and
 * report a reader that went away only later.
 * @throws the EPIPE of the kernel when nobody reads any more
 */
export function writeStdout(data: string | Buffer): void {
  let rest = typeof data === 'string' ? Buffer.from(data) : data;
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(stdout, rest));
    } catch (error) {
      // A parent may have made the pipe non-blocking: then a full one is not an error.
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, millisecondsBetweenTries);
    }
  }
}
