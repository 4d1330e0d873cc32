import { bootId } from '@layerstore/linux';
import type { StoreContext } from '../context.js';
import { AnnouncedDirectories } from './announced-directories.js';
import { Deletions } from './deletions.js';
import { FileSystemSyncs } from './file-system-syncs.js';
import { GroupedWrites } from './grouped-writes.js';
import { SnapshotUsages } from './usage.js';

/** What changing snapshots needs; opened with the first change. */
export class SnapshotWriter implements AsyncDisposable {
  readonly bootId = bootId();
  readonly deletions: Deletions;
  readonly usages: SnapshotUsages;
  readonly syncs: FileSystemSyncs;

  private constructor(
    readonly context: StoreContext,
    readonly writes: GroupedWrites,
    readonly directories: AnnouncedDirectories,
  ) {
    this.deletions = new Deletions(context, writes);
    this.usages = new SnapshotUsages(context, writes);
    this.syncs = new FileSystemSyncs(context, writes);
  }

  static async open(context: StoreContext): Promise<SnapshotWriter> {
    const writes = new GroupedWrites(context.database);
    return new SnapshotWriter(context, writes, await AnnouncedDirectories.open(context, writes));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.syncs[Symbol.asyncDispose]();
    await this.deletions[Symbol.asyncDispose]();
    await this.usages.idle();
    await this.directories[Symbol.asyncDispose]();
    await this.writes.idle();
    await (await this.context.driver()).cleanup();
  }
}
