import { AT_FDCWD, hasErrno, nativeSyscalls, O_DIRECTORY, O_RDONLY, type Syscalls } from '@layerstore/linux';

/**
 * Is a directory the upper of an overlay that lives anywhere: in another mount namespace, or detached and still in use? The
 * mount table shows neither, but the kernel marks the directory. It tells when `index=on` asks for an upper of one's own: EBUSY
 * (fs/overlayfs/super.c, ovl_get_upper). The attempt ends there or, because the work directory is the upper itself, with
 * another error, before anything is made.
 *
 * False where the kernel has no new mount API, which is the same as not knowing.
 * @param path absolute path of the directory
 * @param lower absolute path of any other directory
 */
export function isUpperInUse(path: string, lower: string): boolean {
  const sys = nativeSyscalls();
  const directories = [path, lower].map((each) => sys.openat(AT_FDCWD, each, O_RDONLY | O_DIRECTORY));
  try {
    // Options may have 255 bytes, paths more.
    const [upper = '', below = ''] = directories.map((fd) => `/proc/self/fd/${fd}`);
    return isRefusedAsBusy(sys, { 'lowerdir+': below, upperdir: upper, workdir: upper, index: 'on' });
  } finally {
    for (const fd of directories) sys.close(fd);
  }
}

function isRefusedAsBusy(sys: Syscalls, options: Readonly<Record<string, string>>): boolean {
  let context: number;
  try {
    context = sys.fsopen('overlay');
  } catch (error) {
    if (hasErrno(error, 'ENOSYS', 'ENODEV', 'EPERM')) return false;
    throw error;
  }
  try {
    for (const [key, value] of Object.entries(options)) sys.fsconfig(context, { command: 'string', key, value });
    sys.fsconfig(context, { command: 'create' });
    return false;
  } catch (error) {
    return hasErrno(error, 'EBUSY');
  } finally {
    sys.close(context);
  }
}
