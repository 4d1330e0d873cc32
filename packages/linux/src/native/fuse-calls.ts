import type { FuseSyscalls } from '../syscalls.js';
import type { Libc } from './libc.js';

// linux/fuse.h: _IOR(229, 0, uint32_t), _IOW(229, 1, struct fuse_backing_map), _IOW(229, 2, uint32_t).
const FUSE_DEV_IOC_CLONE = 0x8004e500;
const FUSE_DEV_IOC_BACKING_OPEN = 0x4010e501;
const FUSE_DEV_IOC_BACKING_CLOSE = 0x4004e502;

/** What /dev/fuse has beyond read and write. */
export function fuseCalls(libc: Libc): FuseSyscalls {
  const ioctl = libc.bind('ioctl', 'int', ['int', 'long', 'void *']);
  const words = new Uint8Array(16);
  const view = new DataView(words.buffer);

  return {
    cloneFuseDevice(device, into) {
      view.setUint32(0, device, true);
      if (ioctl(into, FUSE_DEV_IOC_CLONE, words) < 0) throw libc.failure('ioctl FUSE_DEV_IOC_CLONE');
    },
    openFuseBacking(device, fd) {
      words.fill(0);
      view.setInt32(0, fd, true);
      const id = ioctl(device, FUSE_DEV_IOC_BACKING_OPEN, words);
      if (id < 0) throw libc.failure('ioctl FUSE_DEV_IOC_BACKING_OPEN');
      return id;
    },
    closeFuseBacking(device, id) {
      view.setUint32(0, id, true);
      if (ioctl(device, FUSE_DEV_IOC_BACKING_CLOSE, words) < 0) throw libc.failure('ioctl FUSE_DEV_IOC_BACKING_CLOSE');
    },
  };
}
