import { StoreError, type OperationOptions } from '@layerstore/core';
import { settleLayer } from '@layerstore/drivers';
import { containerChanges } from './containers/changes.js';
import { commitContainer, type CommitOptions } from './containers/commit.js';
import { resolveContainer, type ContainerRecord } from './containers/container-records.js';
import { createContainer } from './containers/create.js';
import { mountContainer, type Mounted } from './containers/mount.js';
import { removeContainer } from './containers/remove.js';
import { runInContainer, type RunOptions, type RunResult } from './containers/run.js';
import type { StoreContext } from './context.js';
import type { LoadedImage, PathChange } from './model.js';
import { noProcess, ownMark } from './process-mark.js';

/** Makes a workspace of this process from an image, and mounts it. {@link Workspaces.create} has the details. */
export async function makeWorkspace(
  context: StoreContext,
  image: string,
  options: { name?: string; signal?: AbortSignal },
): Promise<Workspace> {
  const record = await createContainer(context, image, { ...options, kind: 'workspace', owner: ownMark() });
  return mountWorkspace(context, record, true);
}

/** Mounts a workspace that exists. @throws StoreError ERR_CONTAINER_NOT_FOUND */
export async function openWorkspace(context: StoreContext, nameOrId: string): Promise<Workspace> {
  const record = resolveContainer(context.database, nameOrId);
  if (record.kind !== 'workspace') {
    throw new StoreError('ERR_CONTAINER_NOT_FOUND', 'this is a container, not a workspace', {
      subject: nameOrId,
      hint: 'use store.containers for it',
    });
  }
  return mountWorkspace(context, record, false);
}

async function mountWorkspace(context: StoreContext, record: ContainerRecord, disposable: boolean): Promise<Workspace> {
  try {
    return new Workspace(context, record, await mountContainer(context, record.id, 'process'), disposable);
  } catch (error) {
    if (disposable) await removeContainer(context, record.id, { force: true });
    throw error;
  }
}

/** One copy-on-write directory. `await using` discards it at the end of the block. */
export class Workspace implements AsyncDisposable {
  readonly id: string;
  readonly name: string;
  /** The mounted directory: any program can work in it. */
  readonly path: string;

  /** @internal */
  constructor(
    private readonly context: StoreContext,
    private readonly record: ContainerRecord,
    private readonly mounted: Mounted,
    private disposable: boolean,
  ) {
    this.id = record.id;
    this.name = record.name;
    this.path = mounted.path;
  }

  /** What was added, changed and deleted since the image. Cost: a walk of the changes, not of the image. */
  changes(options: OperationOptions = {}): Promise<PathChange[]> {
    return containerChanges(this.context, this.id, options);
  }

  /**
   * A second workspace with the same content, independent from now on. Cost: a copy of the changes, shared where the file
   * system has reflinks. Programs that write meanwhile may be caught half-way.
   */
  async fork(options: { name?: string } = {}): Promise<Workspace> {
    const driver = await this.context.driver();
    const workers = await this.context.workers();
    const record = await createContainer(this.context, this.record.image, {
      ...options,
      kind: 'workspace',
      owner: ownMark(),
      fill: async (cacheId) => {
        const from = await driver.applyTarget(this.record.cacheId);
        const to = await driver.applyTarget(cacheId);
        if (from.tree.dialect === to.tree.dialect) {
          await workers.run({ kind: 'remove-tree', path: to.tree.path });
          await workers.run({ kind: 'copy-tree', from: from.tree.path, to: to.tree.path });
          return;
        }
        // A mounted layer may mark its deletions in another way than one at rest: aufs without an aufs kernel.
        await using _held = await driver.hold(this.record.cacheId, 'comparison');
        const { lowers } = await driver.applyTarget(this.record.cacheId);
        const diff = { upper: from.tree, lowers: [...lowers] };
        const { deferred } = await workers.run({ kind: 'commit', diff, tree: to.tree });
        await settleLayer(driver, workers, cacheId, { target: to, deferred });
      },
    });
    return mountWorkspace(this.context, record, true);
  }

  /** Makes an image of it; the workspace goes on. @throws StoreError ERR_INVALID_REFERENCE, ERR_NO_SPACE */
  commit(reference?: string, options: CommitOptions = {}): Promise<LoadedImage> {
    return commitContainer(this.context, this.id, reference, options);
  }

  /** Runs a program with the workspace as its root. Not a security boundary. */
  run(command: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return runInContainer(this.context, this.id, command, options);
  }

  /** Lets the workspace outlive this object and this process; `workspaces.open` finds it again by name. */
  async keep(): Promise<void> {
    await this.context.database.write(() => {
      this.context.database
        .prepare('UPDATE containers SET owner_pid = ?, owner_started = ? WHERE id = ?')
        .run(noProcess.pid, noProcess.started, this.id);
    });
    this.disposable = false;
  }

  /** Unmounts and deletes it. @throws StoreError ERR_BUSY while a program works in it */
  async discard(): Promise<void> {
    this.disposable = false;
    await this.mounted.release();
    await removeContainer(this.context, this.id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.disposable) await this.discard();
    else await this.mounted.release();
  }
}
