import { readFileSync } from 'node:fs';

/** One line of mountinfo(5). */
export interface MountTableEntry {
  readonly id: number;
  readonly parentId: number;
  /** `major:minor` of files on it. */
  readonly device: string;
  /** The directory of the file system that is shown. */
  readonly root: string;
  readonly mountPoint: string;
  /** Options of this mount: `ro`, `nosuid`, ... */
  readonly options: readonly string[];
  /** `shared:N`, `master:N`, `unbindable`; empty for a private mount. */
  readonly propagation: readonly string[];
  readonly type: string;
  readonly source: string;
  /** Options of the file system: for an overlay `lowerdir=...` and the like. */
  readonly superOptions: readonly string[];
}

/**
 * The mounts that a process sees, in the order of the kernel: of two mounts on one point the later lies above.
 *
 * `/proc/self` is the main thread's view. A thread with a mount namespace of its own passes
 * `/proc/thread-self/mountinfo`. Cost: one small read, some microseconds per mount.
 */
export function readMountTable(path = '/proc/self/mountinfo'): MountTableEntry[] {
  return parseMountTable(readFileSync(path, 'utf8'));
}

/** The lines that follow the form of proc_pid_mountinfo(5); others are left out. */
export function parseMountTable(text: string): MountTableEntry[] {
  const entries: MountTableEntry[] = [];
  for (const line of text.split('\n')) {
    const entry = parseLine(line);
    if (entry !== undefined) entries.push(entry);
  }
  return entries;
}

function parseLine(line: string): MountTableEntry | undefined {
  // The optional fields in the middle are ended by a lone dash; blanks inside fields are escaped.
  const fields = line.split(' ');
  const dash = fields.indexOf('-', 6);
  const [id, parentId, device, root, mountPoint, options] = fields;
  const [type, source, superOptions] = fields.slice(dash + 1);
  if (dash < 0 || device === undefined || root === undefined || mountPoint === undefined) return undefined;
  if (options === undefined || type === undefined || source === undefined) return undefined;
  return {
    id: Number(id),
    parentId: Number(parentId),
    device,
    root: unescapeOctal(root),
    mountPoint: unescapeOctal(mountPoint),
    options: options.split(','),
    propagation: fields.slice(6, dash),
    type: unescapeOctal(type),
    source: unescapeOctal(source),
    superOptions: (superOptions ?? '').split(',').map(unescapeOctal),
  };
}

/** The kernel writes blank, tab, newline, backslash and hash as `\` and three octal digits. */
export function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

/** Mounts whose mount point is `path` or lies below it; `path` must be absolute and free of symlinks. */
export function mountsBelow(table: readonly MountTableEntry[], path: string): MountTableEntry[] {
  const prefix = path.endsWith('/') ? path : `${path}/`;
  return table.filter((entry) => entry.mountPoint === path || entry.mountPoint.startsWith(prefix));
}
