/**
 * Layer tars with the bytes that dockerd itself makes of the same directories, for engines that compare digests,
 * or that shall find the same layer whoever stored it.
 *
 * Docker's rules give less than {@link writeDiff}: times in seconds, no extended attribute but file capabilities, every
 * entry of the upper whether it differs or not, and an opaque marker wherever the kernel has put its mark, which it does on
 * every new directory.
 */
import type { ByteSource } from '../../byte-source.js';
import type { DiffSource } from '../../layer-tree.js';
import { whiteoutOf } from '../../tree/aufs-markers.js';
import { isDirectory } from '../../tree/file-kind.js';
import { baseName, joinPath, parentOf, ROOT } from '../../tree/paths.js';
import { TreeFiles } from '../../tree/tree-files.js';
import { TarOutput } from '../tar-output.js';
import { hostNames, noNames } from './account-names.js';
import { encodeGoHeader } from './go-header.js';
import { DockerMembers } from './members.js';
import { naiveChanges } from './naive-changes.js';

export interface DockerDiffOptions {
  /** When the archive is made, in seconds since 1970: the time of the whiteouts of compared trees. Default now. */
  readonly madeAt?: number;
  /** `host`, the default: users and groups by name as well, as engines up to 20.10 do; later ones write `none`. */
  readonly names?: 'host' | 'none';
}

/**
 * Writes the tar that Docker makes of a layer:
 * - of an `overlay` or `aufs` upper: its directory, whatever lies below (drivers overlay2, aufs);
 * - of a `complete` tree over another: the differences of the two (vfs, overlay, and every distant parent);
 * - of a `complete` tree alone: all of it.
 *
 * Memory: the list of changes where two trees are compared. Chunks are up to 1 MiB, in one buffer.
 * @throws StoreError ERR_IO when the trees change meanwhile: the archive ends unfinished rather than wrong
 * @throws StoreError ERR_ID_NOT_MAPPED, ERR_LIMIT_EXCEEDED for paths over 4095 bytes
 */
export function* writeDockerDiff(source: DiffSource, options: DockerDiffOptions = {}): ByteSource {
  const { upper } = source;
  const [lower] = source.lowers;
  using files = new TreeFiles(upper.path);
  const output = new TarOutput({});
  const whiteouts = upper.dialect === 'overlay' ? 'overlay' : 'none';
  const names = options.names === 'none' ? noNames : hostNames();
  const members = new DockerMembers(files, output, { whiteouts, idMaps: upper.idMaps, names });
  if (upper.dialect === 'complete' && lower !== undefined) {
    using below = new TreeFiles(lower.path);
    for (const change of naiveChanges(files, below)) {
      if (change.kind === 'write') yield* members.write(change.path, change.status);
      else yield* output.raw(naiveWhiteout(change.path, options.madeAt ?? Math.round(Date.now() / 1000)));
    }
  } else {
    yield* wholeTree(files, members, upper.dialect === 'aufs' ? isBookkeeping : undefined);
  }
  yield* output.end();
}

function* wholeTree(
  files: TreeFiles,
  members: DockerMembers,
  leaveOut: ((name: Buffer) => boolean) | undefined,
  directory: Buffer = ROOT,
): ByteSource {
  for (const name of files.names(directory)) {
    if (directory.length === 0 && leaveOut?.(name) === true) continue;
    const path = joinPath(directory, name);
    const status = files.status(path);
    if (status === undefined) continue;
    yield* members.write(path, status);
    if (isDirectory(status)) yield* wholeTree(files, members, leaveOut, path);
  }
}

/** What aufs keeps in the root of a branch for itself; a marker that the root is opaque is none of it. */
function isBookkeeping(name: Buffer): boolean {
  const text = name.toString('latin1');
  return text.startsWith('.wh..wh.') && text !== '.wh..wh..opq';
}

const none = Buffer.alloc(0);

function naiveWhiteout(path: Buffer, madeAt: number): Buffer {
  return encodeGoHeader({
    typeFlag: '0',
    name: joinPath(parentOf(path), whiteoutOf(baseName(path))),
    linkName: none,
    mode: 0,
    uid: 0,
    gid: 0,
    userName: none,
    groupName: none,
    size: 0,
    modified: madeAt,
    deviceMajor: 0,
    deviceMinor: 0,
  });
}
