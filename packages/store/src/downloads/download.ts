import {
  digestHex,
  hasCode,
  reachedStep,
  shortId,
  type OperationOptions,
  type ProgressOutcome,
  StoreError,
} from '@layerstore/core';
import type { BlobSource, WrittenBytes } from '@layerstore/archive';
import type { BlobSink, Descriptor } from '@layerstore/oci';
import type { LayerContent } from '../layers/layer-content.js';
import type { RootPaths } from '../root.js';
import { Staging } from '../staging.js';
import { GrowingFile } from './growing-file.js';

/** Brings the rest of a blob into a sink. */
export type Fetch = (
  blob: Descriptor,
  sink: BlobSink,
  options: { signal: AbortSignal; onPause: (milliseconds: number, reason: string) => void },
) => Promise<void>;

/** Waits until one more download may run; disposing lets the next one start. */
export type Slot = (signal: AbortSignal) => Promise<Disposable>;

/** How often progress is told, in milliseconds. */
const TELL_EVERY = 50;

/**
 * The download of one blob, unpacked while it comes. Its staging is named after the blob: what a killed or failed pull has left of it is
 * found by the next one, or collected by `prune`.
 */
export class Download implements LayerContent {
  /** Something of an earlier pull was there. */
  resumed = false;
  /** The bytes that came are not those of the blob, or not those of a layer. */
  spoilt = false;
  /** What is there. */
  private bytes = 0;
  private started: Promise<GrowingFile> | undefined;
  private ended: Promise<void> | undefined;
  private staging: Staging | undefined;
  private failure: { readonly error: unknown } | undefined;

  constructor(
    private readonly paths: RootPaths,
    readonly blob: Descriptor,
    private readonly fetch: Fetch,
    private readonly slot: Slot,
    private readonly onProgress: OperationOptions['onProgress'],
  ) {}

  get length(): number {
    return this.blob.size;
  }

  /** Where the complete blob lies once it was read. */
  get path(): string | undefined {
    return this.staging?.file('blob');
  }

  /** Once, though two layers may be made of the same blob. */
  begin(signal: AbortSignal): void {
    if (this.started !== undefined) return;
    const { promise, resolve, reject } = deferred<GrowingFile>();
    this.started = promise;
    promise.catch(() => undefined);
    this.ended = this.run(signal, resolve).catch((error: unknown) => {
      this.failure = { error };
      reject(error);
    });
  }

  async read<Result>(
    use: (source: BlobSource, signal: AbortSignal) => Promise<Result>,
    signal: AbortSignal,
  ): Promise<Result> {
    this.begin(signal);
    const file = await this.started;
    if (file === undefined) throw this.failure?.error;
    const stop = new AbortController();
    const used = use(file.source, AbortSignal.any([signal, stop.signal]));
    // A job that still waits for a thread would learn of it only then.
    void this.ended?.then(() => {
      if (this.failure !== undefined) stop.abort();
    });
    try {
      return await used;
    } catch (error) {
      // The reader of a file whose writer failed knows only that.
      if (this.failure !== undefined) throw this.failure.error;
      this.spoilt ||= hasCode(error, ...damage);
      throw error;
    }
  }

  /**
   * Makes sure that the complete blob is there and is the one that is meant, if nobody has read it yet.
   * @param hash reads the source to its end
   * @throws StoreError as {@link read}; ERR_DIGEST_MISMATCH
   */
  async verify(hash: (source: BlobSource) => Promise<WrittenBytes>, signal: AbortSignal): Promise<void> {
    if (this.started !== undefined) return;
    await this.read(async (source) => {
      const { digest } = await hash(source);
      if (digest === this.blob.digest) return;
      throw new StoreError('ERR_DIGEST_MISMATCH', `the layer has the digest ${digest}`, { subject: this.blob.digest });
    }, signal);
  }

  /** Ends it. @param rest whether what there is stays for a later pull; what is spoilt, or nothing, never does */
  async close(rest: 'keep' | 'discard'): Promise<void> {
    await this.ended;
    if (this.staging === undefined) return;
    const isUseful = this.bytes > 0 && !this.spoilt && this.staging.id.startsWith(prefix);
    if (rest === 'keep' && isUseful) this.staging.leave();
    else await this.staging[Symbol.asyncDispose]();
  }

  private async run(signal: AbortSignal, start: (file: GrowingFile) => void): Promise<void> {
    using _slot = await this.slot(signal);
    // Another process may be fetching the same blob for another image: waiting for each other in turns could last for ever.
    this.staging =
      (await Staging.reopen(this.paths, `${prefix}${digestHex(this.blob.digest)}`)) ??
      (await Staging.create(this.paths));
    await using file = GrowingFile.open(this.staging.file('blob'), this.blob.size);
    this.resumed = file.position > 0;
    const progress = this.progress(file);
    progress.tell();
    start(file);
    try {
      await this.fetch(this.blob, progress.sink, { signal, onPause: progress.pause });
      await file.complete();
      reachedStep('download.complete', this.blob.digest);
      progress.end('done');
    } catch (error) {
      file.fail();
      progress.end('failed');
      throw error;
    } finally {
      this.bytes = file.position;
    }
  }

  private progress(file: GrowingFile) {
    const task = `download:${this.blob.digest}`;
    const label = `${shortId(this.blob.digest)} download`;
    const total = this.blob.size;
    const { onProgress } = this;
    let told = 0;
    onProgress?.({ kind: 'start', task, label, total });
    const tell = (): void => {
      told = performance.now();
      onProgress?.({ kind: 'advance', task, done: file.position, total });
    };
    const sink: BlobSink = {
      get position() {
        return file.position;
      },
      write: async (chunk) => {
        await file.write(chunk);
        if (performance.now() - told >= TELL_EVERY) tell();
      },
    };
    return {
      sink,
      tell,
      pause: (milliseconds: number, reason: string): void =>
        onProgress?.({ kind: 'wait', task, label, reason: pauseText(milliseconds, reason) }),
      end: (outcome: ProgressOutcome): void => {
        tell();
        onProgress?.({ kind: 'end', task, label, outcome });
      },
    };
  }
}

const prefix = 'download-';

/** What shows that the bytes are wrong, wherever they came from. */
const damage = [
  'ERR_DIGEST_MISMATCH',
  'ERR_SIZE_MISMATCH',
  'ERR_TRUNCATED',
  'ERR_MALFORMED_ARCHIVE',
  'ERR_ARCHIVE_ESCAPE',
  'ERR_LIMIT_EXCEEDED',
  'ERR_UNSUPPORTED_FORMAT',
] as const;

/** For the `wait` event of a task. */
export function pauseText(milliseconds: number, reason: string): string {
  return `${reason}; again in ${Math.ceil(milliseconds / 1000)} s`;
}

function deferred<Value>(): {
  promise: Promise<Value>;
  resolve: (value: Value) => void;
  reject: (error: unknown) => void;
} {
  let resolve: (value: Value) => void = () => undefined;
  let reject: (error: unknown) => void = () => undefined;
  const promise = new Promise<Value>((take, refuse) => {
    resolve = take;
    reject = refuse;
  });
  return { promise, resolve, reject };
}
