import type { StoreContext } from './context.js';
import type { ContainerSummary } from './model.js';
import type { Workspace } from './workspace.js';

/**
 * Disposable copy-on-write directories for programs: agents, builders, tests.
 *
 * A workspace belongs to the process that made it. When that process dies without discarding it, `prune` takes it away, unless
 * {@link Workspace.keep} was called.
 */
export class Workspaces {
  /** @internal */
  constructor(private readonly context: StoreContext) {}

  /**
   * Makes a workspace from an image, mounted and ready at `path`. Cost: a few directories and one mount (overlay2).
   * @throws StoreError ERR_IMAGE_NOT_FOUND, ERR_EXISTS, ERR_NEEDS_ROOT, ERR_MOUNT_FAILED
   */
  async create(image: string, options: { name?: string; signal?: AbortSignal } = {}): Promise<Workspace> {
    const { makeWorkspace } = await import('./workspace.js');
    return makeWorkspace(this.context, image, options);
  }

  async list(): Promise<ContainerSummary[]> {
    const { listContainers } = await import('./containers/inspect.js');
    return listContainers(this.context, 'workspace');
  }

  /** Opens a workspace that exists, for example one that another process kept. Disposing it does not discard it. */
  async open(nameOrId: string): Promise<Workspace> {
    const { openWorkspace } = await import('./workspace.js');
    return openWorkspace(this.context, nameOrId);
  }
}
