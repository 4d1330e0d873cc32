/** Thin images whose layers are in the repository of the standard publishing tools, and a server of it that can be slowed down or cut off. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CvmfsFixture } from './cvmfs-fixture.js';
import { copyHostPrograms } from './host-root.js';
import { makeDockerArchive, sha256, type LayerContent, type TestImage } from './image.js';

const fixture = fileURLToPath(new URL('../fixtures/cvmfs-repo/', import.meta.url));
const program = fileURLToPath(new URL('repository-process.mjs', import.meta.url));

/** A layer that was unpacked into the repository as it came, with `.wh.` files: `etc`, `opq` and `usr`. */
export const ingestedLayer = 'layers/3f/3f00/layerfs';

export class ThrottledRepository implements AsyncDisposable {
  private constructor(
    private readonly directory: string,
    private readonly child: ChildProcess,
    private readonly port: string,
  ) {}

  /** @param directory takes the repository's files, and the configuration of the client */
  static async serve(directory: string): Promise<ThrottledRepository> {
    mkdirSync(directory, { recursive: true });
    execFileSync('tar', ['-xzf', join(fixture, `${CvmfsFixture.repository}.tar.gz`), '-C', directory]);
    const control = join(directory, 'control');
    writeFileSync(control, '0');
    const child = spawn(process.execPath, [program, directory, control], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    return new ThrottledRepository(directory, child, line.toString().trim());
  }

  /** Answers wait so many milliseconds from now on. */
  slow(milliseconds: number): void {
    writeFileSync(join(this.directory, 'control'), String(milliseconds));
  }

  /** Connections are closed without an answer from now on. */
  cut(): void {
    writeFileSync(join(this.directory, 'control'), 'cut');
  }

  /**
   * Storage options of a driver that reads this repository, with a cache of its own.
   * @param tag the revision that counts as the newest; again with another one, it has moved on
   */
  options(cache: string, tag?: string): string[] {
    const file = join(this.directory, `${cache}.json`);
    const repository = {
      servers: [`http://127.0.0.1:${this.port}/${CvmfsFixture.repository}`],
      keys: [CvmfsFixture.keyFile],
      cacheDirectory: join(this.directory, cache),
      ...(tag === undefined ? {} : { tag }),
      network: { retries: 0, firstPause: 1, timeout: 2000, directTimeout: 2000 },
    };
    writeFileSync(file, JSON.stringify({ repositories: { [CvmfsFixture.repository]: repository } }));
    return ['--storage-opt', 'thin.enabled=true', '--storage-opt', `thin.config=${file}`];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.child, 'close');
    this.child.kill();
    await closed;
  }
}

/** The content of a thin layer. */
export function thinLayer(paths: readonly string[]): LayerContent {
  const layers = paths.map((path) => ({
    digest: sha256(Buffer.from(path)),
    url: `cvmfs://${CvmfsFixture.repository}/${path}`,
  }));
  return (directory) => writeFileSync(join(directory, 'thin.json'), JSON.stringify({ version: '1.0', layers }));
}

/** An image whose programs are in an ordinary layer, and whose other files come from the repository. */
export function makeThinImage(directory: string, reference: string): TestImage {
  const programs: LayerContent = (root) => {
    copyHostPrograms(root, ['sh', 'ls', 'cat', 'cp', 'rm', 'mkdir', 'sha256sum', 'sleep']);
    mkdirSync(join(root, 'opq'));
    for (const name of ['opq/hidden', 'etc/removed', 'etc/stays']) writeFileSync(join(root, name), 'ordinary\n');
  };
  const config = { Env: ['PATH=/bin'], Cmd: ['sh'] };
  return makeDockerArchive(directory, [programs, thinLayer([ingestedLayer])], { reference, config });
}
