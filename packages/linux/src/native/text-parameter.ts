import { constants } from 'node:os';
import type { PathBytes } from '../syscalls.js';
import { systemError } from './errno.js';

/**
 * One text parameter of a call. Bytes are copied into a buffer that every call uses again, so a call with two paths
 * needs two of these.
 */
export class TextParameter {
  #bytes = new Uint8Array(4096);

  /**
   * What koffi passes as `char *`: it ends a string with NUL itself, bytes have to hold theirs.
   * @throws SystemError EINVAL when `text` holds NUL: the kernel would take what stands before it as the name.
   */
  argument(text: PathBytes, syscall: string): string | Uint8Array {
    if (typeof text === 'string') {
      if (text.includes('\0')) throw systemError(constants.errno.EINVAL, syscall, text);
      return text;
    }
    if (text.includes(0)) throw systemError(constants.errno.EINVAL, syscall, text);
    if (text.length >= this.#bytes.length) this.#bytes = new Uint8Array(text.length * 2);
    this.#bytes.set(text);
    this.#bytes[text.length] = 0;
    return this.#bytes;
  }
}
