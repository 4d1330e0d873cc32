import { copyTree, linkView, type ArchiveWorkers, type CopyTreeOptions, type LayerTree } from '@layerstore/archive';
import { removeTree, syncFileSystem } from '@layerstore/linux';

/** Work on whole trees, which takes as long as they are large. */
export interface TreeWork {
  copy(from: string, to: string, options?: CopyTreeOptions): Promise<void>;
  /** {@link linkView}. */
  linkView(trees: readonly LayerTree[], to: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** Writes the file system that holds `path` to disk. */
  sync(path: string): Promise<void>;
}

/** In worker threads, or in the calling thread when there are none. */
export function treeWork(workers: ArchiveWorkers | undefined): TreeWork {
  if (workers === undefined) return callingThread;
  return {
    async copy(from, to, options = {}) {
      await workers.run({ kind: 'copy-tree', from, to, ...options });
    },
    async linkView(trees, to) {
      await workers.run({ kind: 'link-view', trees, to });
    },
    async remove(path) {
      await workers.run({ kind: 'remove-tree', path });
    },
    async sync(path) {
      await workers.run({ kind: 'sync', path });
    },
  };
}

const callingThread: TreeWork = {
  copy: (from, to, options) => atOnce(() => copyTree(from, to, options)),
  linkView: (trees, to) => atOnce(() => linkView(trees, to)),
  remove: (path) => atOnce(() => removeTree(path)),
  sync: (path) => atOnce(() => syncFileSystem(path)),
};

function atOnce(work: () => void): Promise<void> {
  return new Promise((resolve) => {
    work();
    resolve();
  });
}
