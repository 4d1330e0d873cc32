import { createHash } from 'node:crypto';
import { createReadStream, rmSync, statSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { StoreError } from '@layerstore/core';
import { backingFileSystem, requireLinuxRoot } from '@layerstore/linux';
import type { ContainerSummary, ImageSummary, LayerStore, LoadedImage, PathChange } from '@layerstore/store';
import type { GlobalOptions } from '../global-options.js';
import type { Operation, Session } from '../session.js';
import { compareDigests, compareImages, type Comparison } from './comparison.js';
import { workInContainer } from './container-program.js';
import { makeDebianLayers, requireMmdebstrap } from './debian-layers.js';
import { compareWithOtherTools } from './other-tools.js';
import { packImage, type PackedImage } from './pack-image.js';
import { ScratchDirectory } from './scratch-directory.js';
import { Steps, type StepRecord } from './steps.js';

export interface DemoOptions {
  /** An archive or layout to use instead of a Debian image. */
  readonly image?: string;
  /** Debian release of the image. */
  readonly suite: string;
  /** Leaves everything where it was made. */
  readonly keep: boolean;
}

export interface DemoResult {
  readonly steps: readonly StepRecord[];
  /** What the store lists after the load. */
  readonly images: readonly ImageSummary[];
  readonly image: { readonly base: LoadedImage; readonly committed: LoadedImage };
  readonly changes: readonly PathChange[];
  /** What the program in the container said. */
  readonly program: readonly string[];
  readonly comparisons: readonly Comparison[];
  /** Set with {@link DemoOptions.keep}. */
  readonly directory?: string;
}

/**
 * The main job on real input, from packages to an image that other programs read, in a temporary directory of its own: the user's
 * store is not touched. Nothing stays behind, also when it is cancelled.
 * @throws StoreError ERR_NEEDS_ROOT, ERR_MISSING_PREREQUISITE, ERR_ABORTED and what the store throws
 */
export async function runDemo(
  session: Session,
  options: DemoOptions,
  global: GlobalOptions,
  operation: Operation,
): Promise<DemoResult> {
  requireLinuxRoot('the demo');
  if (options.image === undefined) await requireMmdebstrap(operation.signal, (text) => session.note(text));
  await using scratch = await ScratchDirectory.make('layerstore-demo-', { keep: options.keep });
  if (options.keep) session.note(`everything stays in ${scratch.path}`);
  const demo = new Demo(session, scratch, driverThatWorks(session, scratch, global), operation);
  const result = await demo.run(options);
  return options.keep ? { ...result, directory: scratch.path } : result;
}

/** In a container /tmp is often itself on an overlay, on which overlay2 cannot stack. */
function driverThatWorks(session: Session, scratch: ScratchDirectory, global: GlobalOptions): GlobalOptions {
  if (global.driver !== undefined || backingFileSystem(scratch.path).name !== 'overlayfs') return global;
  session.note(`${scratch.path} is on an overlay: the stores use the driver vfs, which copies every layer`);
  return { ...global, driver: 'vfs' };
}

class Demo {
  private readonly steps: Steps;
  private readonly comparisons: Comparison[] = [];

  constructor(
    private readonly session: Session,
    private readonly scratch: ScratchDirectory,
    private readonly global: GlobalOptions,
    private readonly operation: Operation,
  ) {
    this.steps = new Steps(operation);
  }

  async run(options: DemoOptions): Promise<DemoResult> {
    const packed = options.image === undefined ? await this.makeDebianImage(options.suite) : undefined;
    await using store = await this.openStore('first');
    const base = await this.load(store, packed?.path ?? options.image ?? '', 'load into an empty store');
    if (packed !== undefined) {
      const diffIds = base.layers.map(({ diffId }) => diffId);
      this.comparisons.push(compareDigests('loaded diff IDs against node:crypto', packed.diffIds, diffIds));
    }
    const images = await this.steps.run('list the images', () => store.images.list());
    const { container, program } = await this.work(store, base);
    const changes = await this.steps.run('diff', () => store.containers.changes(container.id, this.operation));
    const committed = await this.steps.run('commit', async (step) => {
      const image = await store.containers.commit(container.id, 'layerstore/demo:changed', {
        ...this.operation,
        message: 'made by layerstore demo',
      });
      step.size = image.layers.at(-1)?.size;
      return image;
    });
    const view = await this.exportDigest(store, container.id, 'export the container');
    const archives = await this.save(store, committed);
    await this.compareReloaded('docker-archive', archives.docker, committed, view);
    await this.compareReloaded('oci-archive', archives.oci, committed, undefined);
    const others = await this.steps.run('read the archives with other programs', () =>
      compareWithOtherTools(this.scratch, archives, committed.id, this.operation.signal),
    );
    if (others.length === 0)
      this.session.note('neither skopeo nor podman is installed: no other program read the archives');
    this.comparisons.push(...others);
    return {
      steps: this.steps.records,
      images,
      image: { base, committed },
      changes,
      program,
      comparisons: this.comparisons,
    };
  }

  private async makeDebianImage(suite: string): Promise<PackedImage> {
    const { signal } = this.operation;
    const tars = await this.steps.run(`make a Debian ${suite} root from its packages`, async (step) => {
      const made = await makeDebianLayers(this.scratch, suite, signal, step);
      step.size = made.reduce((sum, tar) => sum + statSync(tar).size, 0);
      return made;
    });
    return this.steps.run('pack it as an OCI image of 3 layers', async (step) => {
      const image = await packImage(this.scratch, tars, `layerstore/demo:${suite}`, signal, step);
      step.size = image.size;
      return image;
    });
  }

  private async openStore(name: string): Promise<LayerStore> {
    return this.session.openStore(this.global, this.scratch.file(name));
  }

  private async load(store: LayerStore, path: string, title: string): Promise<LoadedImage> {
    return this.steps.run(title, async (step) => {
      const [image] = await store.images.load({ path }, this.operation);
      if (image === undefined)
        throw new StoreError('ERR_IMAGE_NOT_FOUND', 'the archive holds no image', { subject: path });
      step.size = image.layers.reduce((sum, layer) => sum + layer.size, 0);
      return image;
    });
  }

  private async work(
    store: LayerStore,
    image: LoadedImage,
  ): Promise<{ container: ContainerSummary; program: readonly string[] }> {
    const container = await this.steps.run('create a container', () =>
      store.containers.create(image.id, { name: 'demo' }),
    );
    const mounted = await this.steps.run('mount its view', () =>
      store.containers.mount(container.id, { lifetime: 'process' }),
    );
    try {
      const work = await this.steps.run('run a program in it', () =>
        workInContainer(store, container.id, this.operation.signal),
      );
      return { container, program: work.lines };
    } finally {
      await mounted.release();
    }
  }

  private async save(store: LayerStore, image: LoadedImage): Promise<{ docker: string; oci: string }> {
    const archives = { docker: this.scratch.file('saved.docker.tar'), oci: this.scratch.file('saved.oci.tar') };
    await this.steps.run('save as docker-archive', async (step) => {
      const target = { path: archives.docker };
      const { size } = await store.images.save([image.id], target, { ...this.operation, format: 'docker-archive' });
      step.size = size;
    });
    await this.steps.run('save as OCI archive', async (step) => {
      const target = { path: archives.oci };
      const { size } = await store.images.save([image.id], target, {
        ...this.operation,
        format: 'oci-archive',
        compression: 'gzip',
      });
      step.size = size;
    });
    return archives;
  }

  /** Loads an archive into a further store and compares; with `view`, also every byte of the file system. */
  private async compareReloaded(
    kind: string,
    path: string,
    saved: LoadedImage,
    view: string | undefined,
  ): Promise<void> {
    await using store = await this.openStore(`from-${kind}`);
    const loaded = await this.load(store, path, `load the ${kind} into another store`);
    this.comparisons.push(...compareImages(kind, saved, loaded));
    if (view !== undefined) {
      const { id } = await store.containers.create(loaded.id);
      const again = await this.exportDigest(store, id, 'export a container of the loaded image');
      this.comparisons.push(compareDigests(`${kind}: file system, byte for byte`, [view], [again]));
    }
    const report = await this.steps.run(`check the store of the ${kind}, verifying layers`, () =>
      store.check({ ...this.operation, verify: true }),
    );
    const problem = report.findings[0];
    const detail =
      problem === undefined ? `${report.checked.verified} layers verified` : `${problem.subject}: ${problem.problem}`;
    this.comparisons.push({ what: `${kind}: store is sound`, holds: report.sound, detail });
  }

  /** sha256 of the whole view as a tar. */
  private async exportDigest(store: LayerStore, container: string, title: string): Promise<string> {
    return this.steps.run(title, async (step) => {
      const path = this.scratch.file('view.tar');
      const { size } = await store.containers.export(container, { path }, this.operation);
      step.size = size;
      const hash = createHash('sha256');
      await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash, { signal: this.operation.signal });
      rmSync(path);
      return `sha256:${hash.digest('hex')}`;
    });
  }
}
