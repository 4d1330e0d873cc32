import { closeSync, readSync, writeSync } from 'node:fs';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { Pipe } from './pipe.js';

describe.skipIf(process.platform !== 'linux')('Pipe', () => {
  it('brings to a descriptor what is written to the stream, and its end', async () => {
    using pipe = Pipe.toThread();
    pipe.stream.end('from the event loop');
    await once(pipe.stream, 'close');
    const buffer = Buffer.alloc(100);
    expect(buffer.toString('utf8', 0, readSync(pipe.fd, buffer))).toBe('from the event loop');
    expect(readSync(pipe.fd, buffer)).toBe(0);
  });

  it('brings to the stream what is written to a descriptor, and ends when that is closed', async () => {
    using pipe = Pipe.fromThread();
    writeSync(pipe.fd, 'from a thread');
    pipe.closeThreadEnd();
    const chunks: Buffer[] = [];
    for await (const chunk of pipe.stream) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).toString()).toBe('from a thread');
  });

  it('closes both ends, and each only once', () => {
    const pipe = Pipe.fromThread();
    pipe[Symbol.dispose]();
    pipe[Symbol.dispose]();
    expect(() => closeSync(pipe.fd)).toThrow('EBADF');
  });
});
