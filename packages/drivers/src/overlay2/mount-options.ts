import { existsSync, readFileSync } from 'node:fs';
import { checkLabel } from '../home/selinux-label.js';

/**
 * Features that a distribution may have switched on for all overlays, each given as `NAME=off` where the module has it:
 * with `index` a second mount over the same upper fails with EBUSY, `redirect_dir` and `metacopy` write layers that no
 * other tool can read alone (kernel Documentation/filesystems/overlayfs.rst).
 */
const unwantedFeatures = ['index', 'redirect_dir', 'metacopy'] as const;

export interface OverlayKernel {
  /** Directory of the overlay module's parameters. */
  readonly parameters: string;
  /** The map of this process's user namespace. */
  readonly uidMap: string;
}

const thisKernel: OverlayKernel = { parameters: '/sys/module/overlay/parameters', uidMap: '/proc/self/uid_map' };

/**
 * Options of every mount. In a user namespace nobody may write `trusted.` attributes, so the overlay keeps its marks in
 * `user.` ones there (Linux 5.11).
 */
export function overlayOptions({ parameters, uidMap }: OverlayKernel = thisKernel): string[] {
  const inUserNamespace = !mapsAllIds(readFileSync(uidMap, 'utf8'));
  // With user attributes the kernel follows no redirect and no metacopy, and refuses to be told so.
  const features = inUserNamespace ? unwantedFeatures.slice(0, 1) : unwantedFeatures;
  const off = features.filter((name) => existsSync(`${parameters}/${name}`)).map((name) => `${name}=off`);
  return inUserNamespace ? [...off, userAttributes] : off;
}

/**
 * Options of mounts without an upper. Nothing is written through them, and some engines let the kernel copy up the attributes
 * of a file without its content: with `metacopy=off` such files of a foreign home could not be read (EPERM).
 */
export function readOnlyOptions(options: readonly string[]): readonly string[] {
  if (!options.includes('metacopy=off')) return options;
  // `metacopy` implies redirects, and some kernels take no other word on them beside it.
  return [...options.filter((option) => !/^(?:metacopy|redirect_dir)=/.test(option)), 'metacopy=on'];
}

const userAttributes = 'userxattr';

/** The attribute in which a mount with these options marks a directory as opaque. */
export function opaqueAttribute(options: readonly string[]): string {
  return `${options.includes(userAttributes) ? 'user' : 'trusted'}.overlay.opaque`;
}

/** True for the map of the first user namespace, and of those that are none: all ids are themselves. */
function mapsAllIds(uidMap: string): boolean {
  return /^\s*0\s+0\s+4294967295\s*$/.test(uidMap);
}

/**
 * The SELinux label of a mount, quoted because the categories in it are separated by commas.
 * @throws StoreError ERR_INVALID_ARGUMENT for a label that could smuggle in other options
 */
export function contextOption(mountLabel: string): string {
  checkLabel(mountLabel);
  return `context="${mountLabel}"`;
}
