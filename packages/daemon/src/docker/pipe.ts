import { Socket } from 'node:net';
import { nativeSyscalls } from '@layerstore/linux';

/** Bytes that wait between the two sides: the system's usual limit for pipes. */
const CAPACITY = 1024 * 1024;

/** A pipe between a connection, which the event loop serves, and a worker thread, which blocks on its descriptor. */
export class Pipe implements Disposable {
  /** The event loop's end. */
  readonly stream: Socket;
  /** The thread's end; open until the pipe is disposed of. */
  readonly fd: number;
  #open = true;

  private constructor(stream: Socket, fd: number) {
    this.stream = stream;
    this.fd = fd;
    // What goes wrong with a pipe is that its other end is gone, and that is told by the thread's job.
    stream.on('error', () => undefined);
  }

  /** A thread reads what is written to the stream. */
  static toThread(): Pipe {
    const { readEnd, writeEnd } = nativeSyscalls().pipe(CAPACITY);
    return new Pipe(new Socket({ fd: writeEnd, readable: false, writable: true }), readEnd);
  }

  /** The stream gives what a thread writes. */
  static fromThread(): Pipe {
    const { readEnd, writeEnd } = nativeSyscalls().pipe(CAPACITY);
    return new Pipe(new Socket({ fd: readEnd, readable: true, writable: false }), writeEnd);
  }

  /** Closes the thread's end: the stream of {@link fromThread} then comes to its end. */
  closeThreadEnd(): void {
    if (!this.#open) return;
    this.#open = false;
    nativeSyscalls().close(this.fd);
  }

  /** Only when no thread works on it. */
  [Symbol.dispose](): void {
    this.stream.destroy();
    this.closeThreadEnd();
  }
}
