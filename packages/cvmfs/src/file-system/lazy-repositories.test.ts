import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, statSync } from 'node:fs';
import { mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { isRoot } from '../../../../test/support/scratch.js';
import type { RepositoryConfiguration } from '../configuration/configuration.js';
import { serialiseExtendedAttributes } from '../format/extended-attributes.js';
import { objectPath } from '../format/object-reference.js';
import { failure } from '../testing/failure.js';
import { configurationOf } from '../testing/fixture.js';
import { LazyScene, shell, shellStatus } from '../testing/lazy-scene.js';
import { RepositoryServer, type ServerOptions } from '../testing/repository-server.js';
import { directoryRow, masterKey, TestRepository, type TestRow } from '../testing/test-repository.js';
import type { LazyRepositories } from './lazy-repositories.js';

const opaque = serialiseExtendedAttributes([
  { name: Buffer.from('trusted.overlay.opaque'), value: Buffer.from('y') },
])!.toString('hex');

/** Two layers, the upper of which deletes a file and replaces a directory of the lower one. */
function layers(published: TestRepository): TestRow[] {
  return [
    directoryRow(''),
    ...['/base', '/base/replaced', '/top', '/top/replaced'].map((path) => directoryRow(path)),
    published.file('/base/kept', 'kept'),
    published.file('/base/deleted', 'deleted'),
    published.file('/base/replaced/old', 'old'),
    published.file('/base/large', 'large '.repeat(500_000)),
    published.file('/top/replaced/new', 'new'),
    { path: '/top/deleted', mode: 0o020000, flags: 20 },
    { path: '/top/link', mode: 0o120777, flags: 12, link: '$(HOME)/x', size: 9 },
  ];
}

class Mounted implements AsyncDisposable {
  readonly scene = new LazyScene();
  readonly published = new TestRepository(this.scene.path('repository'));
  readonly configuration: RepositoryConfiguration;

  private constructor(readonly server: RepositoryServer) {
    this.configuration = configurationOf([server.url], this.scene.path('cache'), {
      name: this.published.name,
      masterKeys: [masterKey.publicPem],
    });
  }

  static async start(options: ServerOptions = {}): Promise<Mounted> {
    let root = '';
    const server = await RepositoryServer.start('/', 'test.example.org', {
      intercept: (path, response, request) => {
        if (options.intercept?.(path, response, request) === true) return true;
        readFile(join(root, path)).then(
          (bytes) => response.end(bytes),
          () => response.writeHead(404).end(),
        );
        return true;
      },
    });
    const mounted = new Mounted(server);
    root = mounted.published.root;
    mounted.published.publish({
      rows: layers(mounted.published),
      sql: [`UPDATE catalog SET xattr = x'${opaque}' WHERE name = 'replaced' AND flags = 1 AND rowid > 4`],
    });
    return mounted;
  }

  get mounts(): LazyRepositories {
    return this.scene.mounts(this.configuration);
  }

  /** The root directory of the newest revision. */
  async root(user = 'test'): Promise<string> {
    return (await this.mounts.acquire({ repository: this.published.name, user })).path;
  }

  async overlay(): Promise<string> {
    const root = await this.root();
    for (const name of ['upper', 'work', 'view']) await mkdir(this.scene.path(name));
    await shell(
      'cd "$1" && mount -t overlay overlay -o "lowerdir=$2/top:$2/base,upperdir=upper,workdir=work" view',
      this.scene.path(),
      root,
    );
    return this.scene.path('view');
  }

  /** Kills the server, and waits until another answers. */
  async killServer(): Promise<void> {
    const [before] = await this.scene.processes('cvmfs-file-server');
    process.kill(before!, 'SIGKILL');
    for (;;) {
      const [now] = await this.scene.processes('cvmfs-file-server');
      if (now !== undefined && now !== before) return;
    }
  }

  async ended(): Promise<void> {
    for (const script of ['cvmfs-file-server', 'cvmfs-keeper'] as const) {
      while ((await this.scene.processes(script)).length > 0) await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.scene[Symbol.asyncDispose]();
    await this.server[Symbol.asyncDispose]();
  }
}

describe.skipIf(!isRoot)('a lazy mount (needs root)', () => {
  test('is one process for callers that come at the same time, and ends with its last use', async () => {
    await using mounted = await Mounted.start();
    const { mounts, published } = mounted;
    const repository = published.name;
    const users = ['a', 'b', 'c', 'a'];
    const all = await Promise.all(users.map((user) => mounted.mounts.acquire({ repository, user })));
    expect(new Set(all.map(({ path }) => path)).size).toBe(1);
    expect(await mounted.scene.processes('cvmfs-keeper')).toHaveLength(1);
    expect((await mounts.uses(repository)).map(({ user }) => user).sort()).toEqual(['a', 'b', 'c']);
    await mounts.release(repository, 'a');
    await mounts.release(repository, 'a');
    await mounts.release(repository, 'b', all[0]!.rootHash);
    expect(await readFile(join(all[0]!.path, 'base/kept'), 'utf8')).toBe('kept');
    await mounts.release(repository, 'c');
    await mounted.ended();
    expect(await mounts.uses(repository)).toEqual([]);
    expect(readdirSync(all[0]!.path.replace(/\/[^/]*$/, ''))).toEqual([]);
    expect(await readFile(join(await mounted.root(), 'base/kept'), 'utf8')).toBe('kept');
  });

  test('shows links as they are published', async () => {
    await using mounted = await Mounted.start();
    expect(await shell('readlink "$1/top/link"', await mounted.root())).toBe('$(HOME)/x\n');
  });

  test('keeps its socket from everybody but root', async () => {
    await using mounted = await Mounted.start();
    const path = await mounted.root();
    expect(statSync(join(path, '../../socket')).mode & 0o777).toBe(0o600);
    expect(statSync(join(path, '../..')).mode & 0o777).toBe(0o700);
  });

  test('refuses a tag that does not exist and a user without a name, and leaves nothing running', async () => {
    await using mounted = await Mounted.start();
    const repository = mounted.published.name;
    const unknown = { repository, revision: { kind: 'tag', tag: 'absent' }, user: 'x' } as const;
    expect((await failure(() => mounted.mounts.acquire(unknown))).code).toBe('ERR_REVISION_NOT_FOUND');
    expect((await failure(() => mounted.mounts.acquire({ repository, user: '' }))).code).toBe('ERR_INVALID_ARGUMENT');
    await mounted.ended();
  });

  test('stays at its revision while another one is published', async () => {
    await using mounted = await Mounted.start();
    const { published, mounts } = mounted;
    const first = await mounted.root('first');
    const rows = [directoryRow(''), published.file('/other', 'other')];
    published.publish({ rows }, { revision: 2, timeToLive: 0 });
    const rootHash = published.addCatalog({ rows });
    const revision = { kind: 'root-hash', rootCatalog: rootHash } as const;
    const second = await mounts.acquire({ repository: published.name, revision, user: 'second' });
    expect(await shell('ls "$1" "$2"', second.path, first)).toContain('other');
    expect(await readFile(join(first, 'base/kept'), 'utf8')).toBe('kept');
    await mounts.release(published.name, 'second');
    while ((await shellStatus('ls "$1"', second.path)).code === 0) await shell('sleep 0.1');
    expect(await readFile(join(first, 'base/deleted'), 'utf8')).toBe('deleted');
  });

  test('serves what is mounted above it until that is gone, after its last use was released', async () => {
    await using mounted = await Mounted.start();
    const root = await mounted.root();
    await mkdir(mounted.scene.path('bound'));
    await shell('mount --bind "$1" "$2"', root, mounted.scene.path('bound'));
    await mounted.mounts.release(mounted.published.name, 'test');
    expect(await readFile(mounted.scene.path('bound/base/kept'), 'utf8')).toBe('kept');
    const again = await mounted.root('again');
    expect(await readFile(join(again, 'base/kept'), 'utf8')).toBe('kept');
    await shell('umount "$1"', mounted.scene.path('bound'));
    await mounted.mounts.release(mounted.published.name, 'again');
    await mounted.ended();
  });
});

describe.skipIf(!isRoot)('a kernel overlay over a lazy mount (needs root)', () => {
  test('keeps deleted files deleted, and takes writes', async () => {
    await using mounted = await Mounted.start();
    const view = await mounted.overlay();
    expect(await shell('cd "$1" && find . | sort | tr "\\n" " "', view)).toBe(
      '. ./kept ./large ./link ./replaced ./replaced/new ',
    );
    await shell('cd "$1" && echo more >> large && mv kept moved && rm -r replaced && mkdir replaced', view);
    expect(await shell('cd "$1" && ls -A replaced && cat moved && wc -c < large', view)).toBe('kept3000005\n');
  });

  test('takes writes while the server is killed, again and again, and never gives wrong bytes', async () => {
    await using mounted = await Mounted.start();
    const view = await mounted.overlay();
    const writer = spawn(
      'bash',
      [
        '-c',
        `for times in $(seq 400); do
          echo $times >> "$1/written"
          text=$(cat "$1/kept" 2>/dev/null) && [ "$text" != kept ] && exit 9
          [ $((times % 50)) = 0 ] && echo 2 > /proc/sys/vm/drop_caches
        done; exit 0`,
        'bash',
        view,
      ],
      { stdio: 'inherit' },
    );
    const exit = once(writer, 'exit');
    for (let times = 0; times < 3; times++) await mounted.killServer();
    expect((await exit)[0]).toBe(0);
    const written = Array.from({ length: 400 }, (_, index) => `${index + 1}\n`).join('');
    expect(await readFile(join(view, 'written'), 'utf8')).toBe(written);
    expect(await shell('cmp <(yes "large " | tr -d "\\n" | head -c 3000000) "$1/large" && echo same', view)).toBe(
      'same\n',
    );
  });

  test('goes on with files that were open when the server was killed', async () => {
    await using mounted = await Mounted.start();
    const view = await mounted.overlay();
    await using file = await open(join(view, 'large'));
    const into = Buffer.alloc(6);
    await file.read(into, 0, 6, 0);
    await mounted.killServer();
    await shell('echo 3 > /proc/sys/vm/drop_caches');
    await file.read(into, 0, 6, 1_500_000);
    expect(into.toString()).toBe('large ');
    await using again = await open(join(view, 'large'));
    await again.read(into, 0, 6, 2_999_994);
    expect(into.toString()).toBe('large ');
  });
});

describe.skipIf(!isRoot)('a lazy mount without what it needs (needs root)', () => {
  test('gives EIO for a file while no server answers, says why, and reads it when one does', async () => {
    let isDown = false;
    await using mounted = await Mounted.start({
      intercept: (_, response) => {
        if (isDown) response.destroy();
        return isDown;
      },
    });
    const root = await mounted.root();
    isDown = true;
    expect((await shellStatus('cat "$1/base/kept"', root)).text).toContain('Input/output error');
    expect(mounted.scene.log()).toContainEqual(
      expect.objectContaining({
        level: 'error',
        subject: 'test.example.org:/base/kept',
        error: expect.objectContaining({ code: 'ERR_REPOSITORY_UNREACHABLE' }) as unknown,
      }),
    );
    isDown = false;
    expect(await shell('cat "$1/base/kept"', root)).toBe('kept');
    isDown = true;
    expect(await shell('cat "$1/base/kept"', root)).toBe('kept');
  });

  test('gives EIO for an object that is corrupt everywhere, and says why', async () => {
    await using mounted = await Mounted.start();
    const { published } = mounted;
    const hash = published.add('deleted');
    const path = objectPath({ hash, kind: 'file' });
    const bytes = published.read(path);
    bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
    published.write(path, bytes);
    const root = await mounted.root();
    expect((await shellStatus('cat "$1/base/deleted"', root)).text).toContain('Input/output error');
    expect(mounted.scene.log()).toContainEqual(
      expect.objectContaining({
        subject: 'test.example.org:/base/deleted',
        error: expect.objectContaining({ code: 'ERR_OBJECT_UNAVAILABLE' }) as unknown,
      }),
    );
    expect(await shell('cat "$1/base/kept"', root)).toBe('kept');
  });

  test('lets a reader be killed that waits for a server which does not answer', async () => {
    let isSilent = false;
    await using mounted = await Mounted.start({ intercept: () => isSilent });
    const root = await mounted.root();
    isSilent = true;
    expect((await shellStatus('timeout 0.5 cat "$1/base/kept"', root)).code).toBe(124);
  });

  test('is made anew when its keeper and its server were killed', async () => {
    await using mounted = await Mounted.start();
    await mounted.root();
    const victims = [
      ...(await mounted.scene.processes('cvmfs-keeper')),
      ...(await mounted.scene.processes('cvmfs-file-server')),
    ];
    expect(victims).toHaveLength(2);
    for (const pid of victims) process.kill(pid, 'SIGKILL');
    expect(await readFile(join(await mounted.root(), 'base/kept'), 'utf8')).toBe('kept');
    expect(await mounted.mounts.uses(mounted.published.name)).toHaveLength(1);
  });

  test('is served on when its keeper was killed, and gets another for who comes next', async () => {
    await using mounted = await Mounted.start();
    const view = await mounted.overlay();
    const [keeper] = await mounted.scene.processes('cvmfs-keeper');
    process.kill(keeper!, 'SIGKILL');
    expect(await readFile(join(view, 'kept'), 'utf8')).toBe('kept');
    const root = await mounted.root();
    expect(await readFile(join(root, 'base/kept'), 'utf8')).toBe('kept');
    expect(await shell('cat "$1/large" | wc -c', view)).toBe('3000000\n');
    await shell('umount "$1"', view);
  });

  test('leaves nothing running when its cache directory cannot be made', async () => {
    await using mounted = await Mounted.start();
    await writeFile(mounted.scene.path('file'), '');
    const mounts = mounted.scene.mounts({ ...mounted.configuration, cacheDirectory: mounted.scene.path('file/cache') });
    await failure(() => mounts.acquire({ repository: mounted.published.name, user: 'x' }));
    await mounted.ended();
    expect(await shell('grep "$1" /proc/mounts || echo none', mounted.scene.path())).toBe('none\n');
  });

  test('refuses a repository that cannot be trusted, and leaves nothing running', async () => {
    await using mounted = await Mounted.start();
    const manifest = mounted.published.read('.cvmfspublished');
    await writeFile(join(mounted.published.root, '.cvmfspublished'), manifest.subarray(0, -3));
    expect((await failure(() => mounted.root())).code).toMatch(/^ERR_(REPOSITORY_UNTRUSTED|MALFORMED_REPOSITORY)$/);
    await mounted.ended();
  });
});
