import {
  AT_EMPTY_PATH,
  MOUNT_ATTR_RDONLY,
  MS_BIND,
  MS_PRIVATE,
  MS_RDONLY,
  MS_REMOUNT,
  OPEN_TREE_CLONE,
} from '../constants.js';
import type { BindPlan } from '../mount-plan.js';
import type { Syscalls } from '../syscalls.js';

/**
 * Shows one directory at `target`, never writable for a moment where it shall be read-only. The mount starts private: a
 * copy of a shared mount would stay its peer, and what is mounted inside the view would appear in the source.
 * @param userNamespace maps the owners that are shown
 * @throws SystemError ENOSYS before Linux 5.12
 */
export function bindByOpenTree(sys: Syscalls, plan: BindPlan, target: string, userNamespace?: number): void {
  const tree = sys.openTree(plan.source, OPEN_TREE_CLONE);
  try {
    sys.mountSetattr(tree, '', AT_EMPTY_PATH, {
      set: plan.readOnly ? MOUNT_ATTR_RDONLY : 0,
      clear: 0,
      propagation: MS_PRIVATE,
      ...(userNamespace === undefined ? {} : { userNamespace }),
    });
    sys.moveMount(tree, target);
  } finally {
    sys.close(tree);
  }
}

/** The same by mount(2), in steps; a failure in between leaves nothing mounted. */
export function bindByMount(sys: Syscalls, plan: BindPlan, target: string): void {
  sys.mount(plan.source, target, '', MS_BIND, '');
  try {
    sys.mount('', target, '', MS_PRIVATE, '');
    if (plan.readOnly) sys.mount('', target, '', MS_BIND | MS_REMOUNT | MS_RDONLY, '');
  } catch (error) {
    sys.umount(target, 0);
    throw error;
  }
}
