import { describe, expect, it } from 'vitest';
import { RecordingSyscalls } from './recording-syscalls.js';
import { AT_FDCWD } from './syscalls.js';

describe('RecordingSyscalls', () => {
  it('keeps names and arguments in order, as they were when called', () => {
    const sys = new RecordingSyscalls();
    const value = Buffer.from('before');
    const fd = sys.openat(AT_FDCWD, '/x', 0);
    sys.setXattr('/x', 'user.a', value);
    value.fill(0);
    sys.close(fd);
    expect(sys.names).toEqual(['openat', 'setXattr', 'close']);
    expect(sys.argumentsOf('setXattr')).toEqual([['/x', 'user.a', Buffer.from('before')]]);
    expect(sys.argumentsOf('close')).toEqual([[fd]]);
  });

  it('gives descriptors that differ', () => {
    const sys = new RecordingSyscalls();
    expect(sys.fsopen('overlay')).not.toBe(sys.fsmount(1, 0));
  });

  it('fails the call that it is told to fail, once, like the kernel', () => {
    const sys = new RecordingSyscalls();
    sys.fail('mount', 'EINVAL', 2);
    const mount = (): void => sys.mount('', '/', 'overlay', 0, '');
    mount();
    expect(mount).toThrow(expect.objectContaining({ code: 'EINVAL', errno: -22, syscall: 'mount' }) as Error);
    mount();
    expect(sys.calls).toHaveLength(3);
  });

  it('answers as it is told', () => {
    const sys = new RecordingSyscalls({ mountLog: () => 'overlay: no' });
    expect(sys.mountLog(3)).toBe('overlay: no');
  });
});
