/**
 * Overlays by the new mount API: every directory is handed over as a descriptor, so neither the length nor the
 * characters of a path matter, and the kernel says in words what it refuses.
 *
 * Linux takes descriptors since 6.13 (Documentation/filesystems/overlayfs.rst), but O_PATH ones only later, so
 * directories are opened for reading. Before that `lowerdir+` takes strings of up to 255 bytes. Still older kernels
 * accept any key and refuse at the end, with EINVAL.
 */
import type { OverlayPlan } from '../mount-plan.js';
import { hasErrno } from '../native/errno.js';
import type { Syscalls } from '../syscalls.js';
import { OpenDirectories } from './open-directory.js';
import { OverlayFailure } from './overlay-failure.js';
import { splitOption } from './overlay-options.js';

/** fsconfig(2) refuses longer strings. */
const MAX_STRING_BYTES = 255;

/**
 * @param userNamespace maps the owners that the lowers show
 * @throws OverlayFailure
 */
export function mountOverlayByFsopen(sys: Syscalls, plan: OverlayPlan, target: string, userNamespace?: number): void {
  const fd = openContext(sys);
  // Kept open until the end: "/proc/self/fd/N" is resolved only when the option is read.
  const directories = new OpenDirectories(sys, userNamespace);
  const context = new Context(sys, fd);
  try {
    context.string('source', 'overlay');
    for (const [index, lower] of plan.lowers.entries()) {
      const plain = userNamespace === undefined || index < (plan.unmappedLowers ?? 0);
      if (plain) context.directory('lowerdir+', directories.plain(lower), lower);
      else context.directory('lowerdir+', directories.lower(lower), undefined);
    }
    if (plan.upper !== undefined) {
      const { path, work } = plan.upper;
      context.directory('upperdir', directories.plain(path), path);
      context.directory('workdir', directories.plain(work), work);
    }
    for (const option of plan.options) {
      const { key, value } = splitOption(option);
      if (value === undefined) sys.fsconfig(fd, { command: 'flag', key });
      else context.string(key, value);
    }
    sys.fsconfig(fd, { command: 'create' });
    attach(sys, fd, target);
  } catch (error) {
    throw new OverlayFailure(error, sys.mountLog(fd), !context.takesDescriptors && hasErrno(error, 'EINVAL'));
  } finally {
    directories[Symbol.dispose]();
    sys.close(fd);
  }
}

function openContext(sys: Syscalls): number {
  try {
    return sys.fsopen('overlay');
  } catch (error) {
    // EPERM: seccomp filters of container engines before 2020 answer so for calls they do not know.
    throw new OverlayFailure(error, '', hasErrno(error, 'ENOSYS', 'EPERM'));
  }
}

function attach(sys: Syscalls, context: number, target: string): void {
  const mount = sys.fsmount(context, 0);
  try {
    sys.moveMount(mount, target);
  } finally {
    // While it is open, unmounting fails with EBUSY.
    sys.close(mount);
  }
}

class Context {
  takesDescriptors = true;

  constructor(
    private readonly sys: Syscalls,
    private readonly fd: number,
  ) {}

  string(key: string, value: string): void {
    this.sys.fsconfig(this.fd, { command: 'string', key, value });
  }

  /** @param path the directory's own name, where it shows the same as the descriptor */
  directory(key: string, directory: number, path: string | undefined): void {
    if (this.takesDescriptors) {
      try {
        this.sys.fsconfig(this.fd, { command: 'fd', key, fd: directory });
        return;
      } catch (error) {
        if (!hasErrno(error, 'EINVAL', 'EBADF')) throw error;
        this.takesDescriptors = false;
        // What it said is no failure unless the string is refused as well.
        this.sys.mountLog(this.fd);
      }
    }
    this.string(key, path !== undefined && isPlain(path) ? path : `/proc/self/fd/${directory}`);
  }
}

/** Short enough, and without a character that one kernel or another takes for an escape or a separator. */
function isPlain(path: string): boolean {
  return Buffer.byteLength(path) <= MAX_STRING_BYTES && /^[\w/.@+-]+$/.test(path);
}
