/** The view of a stack of two layers in every dialect, for tests: all must show the same. */
import { MS_RDONLY, nativeSyscalls, UMOUNT_NOFOLLOW } from '@layerstore/linux';
import type { Dialect, LayerTree } from '../../layer-tree.js';
import { isDirectory } from '../../tree/file-kind.js';
import { LayerStack } from '../../tree/stack.js';
import { applyLayer } from '../apply-layer.js';
import { layerArchive, type CraftedMember } from './crafted-layer.js';
import { settleDeferred } from '../settle-deferred.js';
import type { TestDirectory } from './test-tree.js';
import { describeEntry, listTree, type ListingOptions } from './tree-listing.js';

type Members = readonly (CraftedMember | Buffer)[];

const marks = /^(trusted|user)\.overlay\./;

function applied(path: string, dialect: Dialect, members: Members, lowers: readonly LayerTree[]): LayerTree {
  const tree = { path, dialect };
  const layer = applyLayer([layerArchive(...members)], { tree });
  settleDeferred(layer.deferred, tree, lowers);
  return tree;
}

/** Both layers in one tree, as the vfs driver does it. */
export function completeView(test: TestDirectory, lower: Members, upper: Members): Record<string, string> {
  const path = test.tree();
  applied(path, 'complete', lower, []);
  applied(path, 'complete', upper, []);
  return listTree(path, { withoutXattrs: marks });
}

/** Two layers of changes, as the kernel's overlay shows them. */
export function mountedView(
  test: TestDirectory,
  lower: Members,
  upper: Members,
  options: ListingOptions = {},
): Record<string, string> {
  const below = applied(test.tree(), 'overlay', lower, []);
  const above = applied(test.tree(), 'overlay', upper, [below]);
  const view = test.tree();
  const syscalls = nativeSyscalls();
  syscalls.mount('overlay', view, 'overlay', MS_RDONLY, `lowerdir=${above.path}:${below.path}`);
  try {
    return listTree(view, { withoutXattrs: marks, ...options });
  } finally {
    syscalls.umount(view, UMOUNT_NOFOLLOW);
  }
}

/** Two layers of changes, as {@link LayerStack} reads them. */
export function stackView(
  test: TestDirectory,
  dialect: Dialect,
  lower: Members,
  upper: Members,
): Record<string, string> {
  const below = applied(test.tree(), dialect, lower, []);
  const above = applied(test.tree(), dialect, upper, [below]);
  using stack = new LayerStack([above, below]);
  const lines: Record<string, string> = {};
  const visit = (path: Buffer, shown: string): void => {
    const entry = stack.lookup(path);
    if (entry === undefined) return;
    lines[shown] = describeEntry(entry.path, entry.status, { withoutXattrs: marks }).join(' ');
    if (!isDirectory(entry.status)) return;
    for (const name of stack.names(path)) {
      const text = name.toString('latin1');
      visit(
        Buffer.concat(shown === '.' ? [name] : [path, Buffer.from('/'), name]),
        shown === '.' ? text : `${shown}/${text}`,
      );
    }
  };
  visit(Buffer.alloc(0), '.');
  return lines;
}

/** The views without what only hard links tell. */
export function withoutLinks(view: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(view).map(([path, line]) => [path, line.replace(/ same file as .*/, '')]));
}
