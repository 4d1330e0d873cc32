import { describe, expect, it } from 'vitest';
import { RecordingSyscalls } from '../recording-syscalls.js';
import { answerInit } from './handshake.js';
import { initFlag, initFlag2 } from './protocol.js';

/** A kernel that sends INIT and keeps the answer. */
function kernel(minor: number, flags: number, flags2: number, size = 104): RecordingSyscalls {
  return new RecordingSyscalls({
    read: (_, into) => {
      const view = new DataView(into.buffer, into.byteOffset);
      const words = [size, 26, 2, 0, 0, 0, 0, 0, 0, 0, 7, minor, 131_072, flags, flags2];
      for (const [index, word] of words.entries()) view.setUint32(index * 4, word >>> 0, true);
      return size;
    },
  });
}

function answerOf(sys: RecordingSyscalls): DataView {
  const [, bytes] = sys.argumentsOf('write')[0] as [number, Buffer];
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

describe('the beginning of a FUSE connection', () => {
  it('asks for nothing that the kernel does not offer', () => {
    const sys = kernel(31, initFlag.asyncRead, 0, 56);
    expect(answerInit(sys, 3)).toEqual({ minor: 31, passthrough: false });
    const answer = answerOf(sys);
    expect([answer.getUint32(0, true), answer.getInt32(4, true), answer.getUint32(8, true)]).toEqual([80, 0, 2]);
    expect(answer.getUint32(16 + 12, true)).toBe(initFlag.asyncRead);
    expect(answer.getUint32(16 + 32, true)).toBe(0);
  });

  it('lets the kernel read files itself where it can', () => {
    const sys = kernel(45, initFlag.initExtension, 0xffffffff);
    expect(answerInit(sys, 3)).toEqual({ minor: 40, passthrough: true });
    const answer = answerOf(sys);
    expect(answer.getUint32(16 + 32, true)).toBe(initFlag2.passthrough | initFlag2.allowIdmap);
    expect(answer.getUint32(16 + 36, true)).toBe(1);
  });

  it('is refused for a kernel that speaks an older protocol', () => {
    expect(() => answerInit(kernel(30, 0, 0), 3)).toThrow('version 7.30');
  });
});
