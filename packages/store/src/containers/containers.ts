import type { OperationOptions } from '@layerstore/core';
import type { StoreContext } from '../context.js';
import type { ContainerDetails, ContainerSummary, LoadedImage, PathChange } from '../model.js';
import type { Target } from '../target.js';
import type { CommitOptions } from './commit.js';
import type { CreateContainerOptions } from './create.js';
import type { Mounted, MountLifetime } from './mount.js';
import type { RunOptions, RunResult } from './run.js';

/** The containers of a store, named by name, id, or a unique prefix of an id. */
export class Containers {
  /** @internal */
  constructor(private readonly context: StoreContext) {}

  /**
   * Makes a writable layer over an image; nothing is mounted. Durable on return.
   * Cost: a few directories (overlay2), a copy of the image (vfs).
   * @throws StoreError ERR_IMAGE_NOT_FOUND, ERR_EXISTS for a taken name, ERR_INVALID_ID, ERR_UNKNOWN_OPTION, ERR_MAX_DEPTH
   */
  async create(image: string, options: CreateContainerOptions = {}): Promise<ContainerSummary> {
    const { createContainer } = await import('./create.js');
    const { containerSummary } = await import('./container-records.js');
    return containerSummary(await createContainer(this.context, image, { ...options, kind: 'container' }), undefined);
  }

  /** Every container, newest first. Workspaces are listed by {@link Workspaces.list}. */
  async list(): Promise<ContainerSummary[]> {
    const { listContainers } = await import('./inspect.js');
    return listContainers(this.context, 'container');
  }

  /** @throws StoreError ERR_CONTAINER_NOT_FOUND */
  async inspect(nameOrId: string): Promise<ContainerDetails> {
    const { inspectContainer } = await import('./inspect.js');
    return inspectContainer(this.context, nameOrId);
  }

  /**
   * Mounts the view, or takes one more hold on it. A `persistent` hold (the default) lasts until {@link unmount}; one of this
   * `process` ends with it. A mount that survived a crash is adopted.
   * @throws StoreError ERR_CONTAINER_NOT_FOUND, ERR_NEEDS_ROOT, ERR_MOUNT_FAILED
   */
  async mount(nameOrId: string, options: { lifetime?: MountLifetime; signal?: AbortSignal } = {}): Promise<Mounted> {
    const { mountContainer } = await import('./mount.js');
    return mountContainer(this.context, nameOrId, options.lifetime ?? 'persistent', options.signal);
  }

  /** Gives up a persistent hold, or with `all` every hold. @throws StoreError ERR_BUSY naming who works in it */
  async unmount(nameOrId: string, options: { all?: boolean; signal?: AbortSignal } = {}): Promise<void> {
    const { unmountContainer } = await import('./mount.js');
    return unmountContainer(this.context, nameOrId, options);
  }

  /** What the container changed, sorted by path. Cost: a walk of its own layer. */
  async changes(nameOrId: string, options: OperationOptions = {}): Promise<PathChange[]> {
    const { containerChanges } = await import('./changes.js');
    return containerChanges(this.context, nameOrId, options);
  }

  /**
   * Makes an image of a container: its image's layers and one more with what the container changed. Durable on return.
   * Cost: proportional to the changes; lower layers are not walked. Programs that write meanwhile may be caught half-way.
   * @throws StoreError ERR_CONTAINER_NOT_FOUND, ERR_INVALID_REFERENCE, ERR_STORE_DAMAGED, ERR_NO_SPACE, ERR_IO
   */
  async commit(nameOrId: string, reference?: string, options: CommitOptions = {}): Promise<LoadedImage> {
    const { commitContainer } = await import('./commit.js');
    return commitContainer(this.context, nameOrId, reference, options);
  }

  /** Writes the whole view as a tar. */
  async export(nameOrId: string, target: Target, options: OperationOptions = {}): Promise<{ size: number }> {
    const { exportContainer } = await import('./export.js');
    return exportContainer(this.context, nameOrId, target, options);
  }

  /**
   * Runs a command in the view: mount namespace and chroot, for trusted programs. An empty command means the image's own.
   * @throws StoreError ERR_CONTAINER_NOT_FOUND, ERR_INVALID_ARGUMENT without any command, ERR_NEEDS_ROOT
   */
  async run(nameOrId: string, command: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    const { runInContainer } = await import('./run.js');
    return runInContainer(this.context, nameOrId, command, options);
  }

  /** Removes the container and what it changed. @throws StoreError ERR_CONTAINER_NOT_FOUND, ERR_BUSY */
  async remove(nameOrId: string, options: { force?: boolean; signal?: AbortSignal } = {}): Promise<void> {
    const { removeContainer } = await import('./remove.js');
    return removeContainer(this.context, nameOrId, options);
  }
}
