import type { Logger } from '@layerstore/core';
import type { KernelTables } from '../kernel-tables.js';
import type { Syscalls } from '../syscalls.js';

/** `fsopen`: the new mount API. `mount`: mount(2). `fuse-overlayfs`: the program of that name, for overlays. */
export type MountMethod = 'fsopen' | 'mount' | 'fuse-overlayfs';

/** What the parts of the mounter work with. */
export interface MountTools {
  readonly sys: Syscalls;
  readonly kernel: KernelTables;
  readonly logger: Logger;
  readonly method: 'auto' | MountMethod;
  readonly unmountIn: 'thread' | 'background';
}
