import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, readdir, readlink } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { nativeSyscalls } from '@layerstore/linux';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isRoot } from '../../../../test/support/scratch.js';
import { parseDevice } from '../format/device-number.js';
import {
  configurationOf,
  expectedEntries,
  fixtureName,
  unpackFixture,
  type ExpectedEntry,
} from '../testing/fixture.js';
import { LazyScene, shell } from '../testing/lazy-scene.js';
import { RepositoryServer } from '../testing/repository-server.js';

async function digestOf(path: Buffer): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

const typeNames: Readonly<Record<number, string>> = {
  0o100000: 'file',
  0o040000: 'dir',
  0o120000: 'symlink',
  0o010000: 'fifo',
  0o140000: 'socket',
  0o020000: 'char',
  0o060000: 'block',
};

interface Shown {
  readonly entry: ExpectedEntry;
  readonly inode: bigint;
}

/** An entry in the form of the recorded manifests, as the kernel shows it. */
async function shown(root: Buffer, path: Buffer): Promise<Shown> {
  const full = Buffer.concat([root, path]);
  const status = await lstat(full, { bigint: true });
  // Attributes are asked for by this thread, which also serves the repository: the catalog has to be there before.
  if (status.isDirectory()) await readdir(full);
  const sys = nativeSyscalls();
  const type = typeNames[Number(status.mode & 0o170000n)] ?? '';
  const attributes = sys.listXattrs(full).map((name) => [name.toString(), sys.getXattr(full, name)] as const);
  const text = path.length === 0 ? '/' : path.toString('utf8');
  const { major, minor } = parseDevice(status.rdev);
  const entry: ExpectedEntry = {
    ...(path.length === 0 || Buffer.from(text).equals(path) ? { path: text } : { path_b64: path.toString('base64') }),
    type,
    mode: (status.mode & 0o7777n).toString(8).padStart(4, '0'),
    uid: Number(status.uid),
    gid: Number(status.gid),
    size: Number(status.size),
    mtime: Number(status.mtimeNs / 1_000_000_000n),
    mtime_ns: Number(status.mtimeNs % 1_000_000_000n),
    nlink: Number(status.nlink),
    ...(type === 'file' ? { sha256: await digestOf(full) } : {}),
    ...(type === 'symlink' ? { link: (await readlink(full, { encoding: 'buffer' })).toString() } : {}),
    ...(type === 'char' || type === 'block' ? { rdev: [major, minor] as const } : {}),
    ...(attributes.length === 0
      ? {}
      : { xattrs_b64: Object.fromEntries(attributes.map(([name, value]) => [name, value!.toString('base64')])) }),
  };
  return { entry, inode: status.ino };
}

async function* walkMount(root: Buffer, path: Buffer = Buffer.alloc(0)): AsyncGenerator<Buffer> {
  yield path;
  for (const name of await readdir(Buffer.concat([root, path]), { withFileTypes: true, encoding: 'buffer' })) {
    const child = Buffer.concat([path, Buffer.from('/'), name.name]);
    if (name.isDirectory()) yield* walkMount(root, child);
    else yield child;
  }
}

const keyOf = ({ path, path_b64 }: ExpectedEntry): string => path ?? path_b64!;

function groups(pairs: Iterable<readonly [string, unknown]>): string[][] {
  const found = new Map<unknown, string[]>();
  for (const [path, group] of pairs) found.set(group, [...(found.get(group) ?? []), path]);
  return [...found.values()].map((paths) => paths.sort()).sort();
}

describe.skipIf(!isRoot).each([
  ['read by the server', 2, 2 ** 40],
  ['read by the kernel itself', 1, 1],
])('the fixture through a mount, files %s (needs root)', (_, threads, passthroughFrom) => {
  let scene: LazyScene;
  let server: RepositoryServer;
  let mounts: ReturnType<LazyScene['mounts']>;

  beforeAll(async () => {
    scene = new LazyScene();
    server = await RepositoryServer.start(unpackFixture(scene.path()), fixtureName);
    // The manifests were recorded with an empty environment, which the standard client expands links with.
    const configuration = configurationOf([server.url], scene.path('cache'), { linkVariables: {} });
    mounts = scene.mounts(configuration, { threads, passthroughFrom });
  });

  afterAll(async () => {
    await scene[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  test.each([
    ['manifest.json', { kind: 'newest' } as const],
    ['manifest-first.json', { kind: 'tag', tag: 'first' } as const],
    ['manifest-second.json', { kind: 'tag', tag: 'second' } as const],
    ['manifest-third.json', { kind: 'tag', tag: 'third' } as const],
  ])('%s agrees in every entry', async (file, revision) => {
    const { path: root } = await mounts.acquire({ repository: fixtureName, revision, user: file });
    const expected = new Map(expectedEntries(file).map((entry) => [keyOf(entry), entry]));
    const seen = new Map<string, Shown>();
    for await (const path of walkMount(Buffer.from(root))) {
      const found = await shown(Buffer.from(root), path);
      const key = keyOf(found.entry);
      seen.set(key, found);
      const { hardlink_group } = expected.get(key) ?? {};
      const entry = hardlink_group === undefined ? found.entry : { ...found.entry, hardlink_group };
      expect(entry).toEqual(expected.get(key));
    }
    expect([...seen.keys()].sort()).toEqual([...expected.keys()].sort());
    const linked = [...expected].filter(([, { hardlink_group }]) => hardlink_group !== undefined);
    const inodes = linked.map(([key]) => [key, seen.get(key)!.inode] as const);
    expect(groups(inodes)).toEqual(groups(linked.map(([key, { hardlink_group }]) => [key, hardlink_group] as const)));
  });

  test('several revisions are there at once, and no two files have one inode number', async () => {
    const uses = await mounts.uses(fixtureName);
    expect(uses.map(({ user }) => user).sort()).toEqual(
      expect.arrayContaining(['manifest.json', 'manifest-first.json']),
    );
    const roots = uses.map(({ path }) => path);
    const text = await shell('find "$@" -type d -printf "%i\\n"', ...roots);
    const inodes = text.trim().split('\n');
    expect(new Set(inodes).size).toBe(inodes.length);
  });

  test('chunked files are read right at any offset, by several readers', async () => {
    const { path } = await mounts.acquire({ repository: fixtureName, user: 'chunks' });
    const chunked = await shell('find "$1" -type f -size +64k | head -4', path);
    const script = `
      const fs = require('fs');
      const [path, seed] = process.argv.slice(1);
      const all = fs.readFileSync(path);
      let state = Number(seed);
      const next = (limit) => ((state = (state * 1103515245 + 12345) % 2147483648) % limit);
      const fd = fs.openSync(path, 'r');
      for (let times = 0; times < 100; times++) {
        const offset = next(all.length);
        const into = Buffer.alloc(1 + next(300000));
        const count = fs.readSync(fd, into, 0, into.length, offset);
        if (!into.subarray(0, count).equals(all.subarray(offset, offset + into.length))) process.exit(1);
      }`;
    await shell(
      'echo 3 > /proc/sys/vm/drop_caches; for file in $3; do for seed in 1 2; do "$1" -e "$2" "$file" $seed & pids="$pids $!"; done; done; for pid in $pids; do wait $pid || exit 1; done',
      process.execPath,
      script,
      chunked,
    );
  });
});
