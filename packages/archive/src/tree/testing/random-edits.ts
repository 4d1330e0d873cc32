/**
 * Random edits of a real directory tree, for property tests: every type of file, odd names, attributes, hard links,
 * replacements of one type by another. The same seed makes the same edits on the same tree, and fewer steps are a
 * prefix of more.
 */
import {
  chmodSync,
  closeSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import {
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  hasErrno,
  nativeSyscalls,
  S_IFBLK,
  S_IFCHR,
  S_IFIFO,
  S_IFSOCK,
} from '@layerstore/linux';

const names = [
  'a',
  'b',
  'c',
  'data',
  'with space',
  'new\nline',
  '-dash',
  'ü',
  '\xff\xfe',
  'A',
  'a.b',
  'a-b',
  'x'.repeat(180),
].map((name) => Buffer.from(name, name.startsWith('\xff') ? 'latin1' : 'utf8'));

/** A version 2 and a version 3 file capability (linux/capability.h): binary, and kept as they are. */
const capabilities = [
  '0100000200000000000000000000000000000000',
  '010000030004000000000000000000000000000010270000',
].map((hex) => Buffer.from(hex, 'hex'));

export function randomEdits(root: string, seed: number, steps: number): void {
  for (let step = 0; step < steps; step += 1) new Editor(root, seed + step * 7919).edit();
}

class Editor {
  #state: number;

  constructor(
    private readonly root: string,
    seed: number,
  ) {
    this.#state = seed >>> 0;
  }

  edit(): void {
    const edits = [
      () => this.#make(this.#freshPath()),
      () => this.#make(this.#freshPath()),
      () => this.#make(this.#existing() ?? this.#freshPath()),
      () => this.#makeDirectory(this.#freshPath()),
      () => this.#withExisting((path) => rmSync(path, { recursive: true })),
      () => this.#withExisting((path) => this.#moveTo(path, renameSync)),
      () => this.#withFile((path) => this.#moveTo(path, linkSync)),
      () => this.#withExisting((path) => this.#changeAttributes(path)),
      () => this.#withExisting((path) => this.#changeAttributes(path)),
      () => this.#withExisting((path) => this.#changeXattr(path)),
      () => this.#withFile((path) => this.#changeContent(path)),
      () => this.#withFile((path) => closeSync(openSync(path, 'r+'))),
      () => this.#withExisting((path) => this.#recreate(path)),
    ];
    this.#pick(edits)();
  }

  #random(): number {
    // mulberry32
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let value = this.#state;
    value = Math.imul(value ^ (value >>> 15), value | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  #pick<Item>(items: readonly Item[]): Item {
    const item = items[this.#below(items.length)];
    if (item === undefined) throw new RangeError('nothing to pick from');
    return item;
  }

  #directories(): Buffer[] {
    const found: Buffer[] = [Buffer.from(this.root)];
    for (const directory of found) {
      for (const path of children(directory)) if (lstatSync(path).isDirectory()) found.push(path);
    }
    return found;
  }

  #freshPath(): Buffer {
    return join(this.#pick(this.#directories()), this.#pick(names));
  }

  #existing(): Buffer | undefined {
    const paths = this.#directories().flatMap(children);
    return paths.length === 0 ? undefined : this.#pick(paths);
  }

  #withExisting(run: (path: Buffer) => void): void {
    const path = this.#existing();
    if (path !== undefined) run(path);
  }

  #withFile(run: (path: Buffer) => void): void {
    const files = this.#directories()
      .flatMap(children)
      .filter((path) => lstatSync(path).isFile());
    if (files.length > 0) run(this.#pick(files));
  }

  #emptied(path: Buffer): Buffer {
    rmSync(path, { recursive: true, force: true });
    return path;
  }

  #make(path: Buffer): void {
    this.#emptied(path);
    const kernel = nativeSyscalls();
    const makers = [
      () => this.#writeFile(path),
      () => this.#writeFile(path),
      () => this.#writeFile(path),
      () => symlinkSync(this.#pick(['a', '../b', '/etc/passwd', 'nowhere', 'x'.repeat(150)]), path),
      () => kernel.mknodat(AT_FDCWD, path, S_IFIFO | 0o640, 0, 0),
      () => kernel.mknodat(AT_FDCWD, path, S_IFCHR | 0o666, 1, this.#pick([3, 5, 300])),
      () => kernel.mknodat(AT_FDCWD, path, S_IFBLK | 0o660, 8, this.#below(4)),
      () => kernel.mknodat(AT_FDCWD, path, S_IFSOCK | 0o600, 0, 0),
      () => this.#makeDirectory(path),
    ];
    this.#pick(makers)();
    if (this.#below(3) === 0) this.#changeAttributes(path);
  }

  #writeFile(path: Buffer): void {
    writeFileSync(
      path,
      Buffer.alloc(this.#below(20) === 0 ? 1_200_000 : this.#pick([0, 1, 511, 512, 5000]), String(this.#below(10))),
    );
    if (this.#below(30) === 0) truncateSync(path, 3_000_000);
  }

  #makeDirectory(path: Buffer): void {
    this.#emptied(path);
    mkdirSync(path);
    for (let count = this.#below(4); count > 0; count -= 1) this.#make(join(path, this.#pick(names)));
  }

  /** The same name again, as an empty directory or a file: what upper layers mark as opaque or replaced. */
  #recreate(path: Buffer): void {
    this.#emptied(path);
    if (this.#below(2) === 0) this.#makeDirectory(path);
    else this.#writeFile(path);
  }

  /** Gives an entry a name that is fresh or was another's, by a rename or a link. */
  #moveTo(path: Buffer, move: (from: Buffer, to: Buffer) => void): void {
    const target = this.#freshPath();
    if (target.equals(path) || startsWith(target, path) || startsWith(path, target)) return;
    this.#emptied(target);
    try {
      move(path, target);
    } catch (error) {
      // An overlay without redirects cannot rename a directory that has a lower part.
      if (!hasErrno(error, 'EXDEV')) throw error;
    }
  }

  #changeContent(path: Buffer): void {
    const status = nativeSyscalls().statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW);
    const before = readFileSync(path);
    const fd = openSync(path, 'r+');
    writeSync(fd, this.#pick(['x', 'y']), this.#below(before.length + 1));
    closeSync(fd);
    // A change that neither size nor time betrays.
    if (this.#below(2) === 0) {
      nativeSyscalls().utimensat(AT_FDCWD, path, status.accessedNs, status.modifiedNs, AT_SYMLINK_NOFOLLOW);
    }
  }

  #changeAttributes(path: Buffer): void {
    const link = lstatSync(path).isSymbolicLink();
    const kernel = nativeSyscalls();
    const time = this.#pick([0n, 1n, 1_700_000_000_123_456_789n, -1_500_000_000n, 4_000_000_000_000_000_001n]);
    const changes = [
      () => kernel.utimensat(AT_FDCWD, path, time, time, AT_SYMLINK_NOFOLLOW),
      () => lchownSync(path, this.#pick([0, 1, 1000, 3_000_000]), this.#pick([0, 5, 70_000])),
      () => link || chmodSync(path, this.#pick([0o600, 0o755, 0o4755, 0o2775, 0o1777, 0])),
    ];
    this.#pick(changes)();
  }

  #changeXattr(path: Buffer): void {
    const kernel = nativeSyscalls();
    const value = this.#pick([
      Buffer.from('value'),
      Buffer.from([0, 255, 10, 61]),
      Buffer.alloc(0),
      Buffer.alloc(700, 'v'),
    ]);
    const changes = [
      () => kernel.setXattr(path, 'user.test', value),
      () => kernel.setXattr(path, 'trusted.test', value),
      () => kernel.setXattr(path, 'security.capability', this.#pick(capabilities)),
      () => kernel.removeXattr(path, 'user.test'),
      () => kernel.removeXattr(path, 'trusted.test'),
    ];
    try {
      this.#pick(changes)();
    } catch (error) {
      // Links, devices and directories take only some of them; what is absent cannot be removed.
      if (!hasErrno(error, 'EPERM', 'ENODATA', 'EINVAL', 'ENOTSUP')) throw error;
    }
  }
}

function children(directory: Buffer): Buffer[] {
  return readdirSync(directory, { encoding: 'buffer' }).map((name) => join(directory, name));
}

function join(directory: Buffer, name: Buffer): Buffer {
  return Buffer.concat([directory, Buffer.from('/'), name]);
}

function startsWith(path: Buffer, directory: Buffer): boolean {
  return path.subarray(0, directory.length + 1).equals(Buffer.concat([directory, Buffer.from('/')]));
}
