import type { sendUnaryData, ServerUnaryCall, ServerWritableStream, UntypedServiceImplementation } from '@grpc/grpc-js';
import { once } from 'node:events';
import { observeRequest, type Observation } from '../observability/observe-request.js';
import type {
  CleanupRequest,
  CommitSnapshotRequest,
  ListSnapshotsRequest,
  MountsRequest,
  PrepareSnapshotRequest,
  RemoveSnapshotRequest,
  StatSnapshotRequest,
  UpdateSnapshotRequest,
  UsageRequest,
  ViewSnapshotRequest,
} from '../grpc/generated/snapshots_pb.js';
import { grpcFailure } from '../grpc/status.js';
import type { SnapshotSummary } from '@layerstore/store';
import { AnswerCache } from './answer-cache.js';
import { labelChanges } from './field-mask.js';
import { apiInfo } from './infos.js';
import type { ApiMount } from './mounts.js';
import type { Prepared } from './snapshot-calls.js';
import type { Argument, Method, Result } from './store-messages.js';
import type { Backend, Backends } from './backends.js';
import type { Timeouts } from './timeouts.js';

export interface SnapshotServiceOptions {
  readonly backends: Backends;
  readonly observation: Observation;
  readonly timeouts: Timeouts;
  readonly durability: 'synced' | 'unsynced';
}

/** A request as the wire has it; every one names its snapshotter. */
interface NamedRequest {
  readonly snapshotter: string;
}

/** The ten methods of `containerd.services.snapshots.v1.Snapshots`. */
export class SnapshotService {
  readonly #answers = new AnswerCache();

  constructor(private readonly options: SnapshotServiceOptions) {}

  /** For a gRPC server. */
  implementation(): UntypedServiceImplementation {
    return {
      Prepare: this.#unary('Prepare', async (request: PrepareSnapshotRequest, backend) => ({
        mounts: await this.#prepare('prepare', request, backend),
      })),
      View: this.#unary('View', async (request: ViewSnapshotRequest, backend) => ({
        mounts: await this.#prepare('view', request, backend),
      })),
      Mounts: this.#unary('Mounts', async ({ key }: MountsRequest, backend) => ({
        mounts: await this.#mounts(key, backend),
      })),
      Commit: this.#unary('Commit', async ({ key, name, parent, labels }: CommitSnapshotRequest, backend) => {
        const { owner } = backend;
        const { durability } = this.options;
        await this.#change(backend, key, () =>
          this.#call(backend, 'commit', { owner, key, name, parent, labels, durability }),
        );
        return {};
      }),
      Remove: this.#unary('Remove', async ({ key }: RemoveSnapshotRequest, backend) => {
        const { owner } = backend;
        await this.#change(backend, key, () => this.#call(backend, 'remove', { owner, key }));
        return {};
      }),
      Stat: this.#unary('Stat', async ({ key }: StatSnapshotRequest, backend) => ({
        info: apiInfo(await this.#stat(key, backend)),
      })),
      Update: this.#unary('Update', async ({ info, updateMask }: UpdateSnapshotRequest, backend) => {
        const { owner } = backend;
        const changes = labelChanges(updateMask?.paths ?? [], info?.labels ?? {});
        const key = info?.name ?? '';
        const update = (): Promise<SnapshotSummary> => this.#call(backend, 'update', { owner, key, changes });
        return { info: apiInfo(await this.#answers.change(owner, key, update, (snapshot) => ({ snapshot }))) };
      }),
      Usage: this.#unary('Usage', async ({ key }: UsageRequest, backend) => {
        const { size, inodes } = await this.#call(backend, 'usage', { owner: backend.owner, key });
        return { size: BigInt(size), inodes: BigInt(inodes) };
      }),
      Cleanup: this.#unary('Cleanup', async (_request: CleanupRequest, backend) => {
        await this.#call(backend, 'cleanup', { withinMs: this.options.timeouts.cleanup / 2 });
        return {};
      }),
      List: (call: ServerWritableStream<ListSnapshotsRequest, object>) => void this.#list(call),
    };
  }

  async #prepare(
    method: 'prepare' | 'view',
    { key, parent, labels }: PrepareSnapshotRequest | ViewSnapshotRequest,
    backend: Backend,
  ): Promise<readonly ApiMount[]> {
    const { owner } = backend;
    const prepare = (): Promise<Prepared> => this.#call(backend, method, { owner, key, parent, labels });
    const { mounts } = await this.#answers.change(owner, key, prepare, (prepared) => prepared);
    return mounts;
  }

  async #mounts(key: string, backend: Backend): Promise<readonly ApiMount[]> {
    const { owner } = backend;
    const since = this.#answers.now;
    const known = this.#answers.get(owner, key)?.mounts;
    if (known !== undefined) return known;
    const mounts = await this.#call(backend, 'mounts', { owner, key });
    this.#answers.learn(owner, key, { mounts }, since);
    return mounts;
  }

  async #stat(key: string, backend: Backend): Promise<SnapshotSummary> {
    const { owner } = backend;
    const since = this.#answers.now;
    const known = this.#answers.get(owner, key)?.snapshot;
    if (known !== undefined) return known;
    const snapshot = await this.#call(backend, 'stat', { owner, key });
    this.#answers.learn(owner, key, { snapshot }, since);
    return snapshot;
  }

  #change(backend: Backend, key: string, call: () => Promise<void>): Promise<void> {
    return this.#answers.change(backend.owner, key, call);
  }

  #unary<Request extends NamedRequest>(
    method: string,
    answer: (request: Request, backend: Backend) => Promise<object>,
  ): (call: ServerUnaryCall<Request, object>, reply: sendUnaryData<object>) => void {
    return ({ request }, reply) => {
      this.#observed(method, request, async () => answer(request, this.options.backends.of(request.snapshotter))).then(
        (response) => reply(null, response),
        (error: unknown) => reply(grpcFailure(error)),
      );
    };
  }

  async #list(call: ServerWritableStream<ListSnapshotsRequest, object>): Promise<void> {
    const { request } = call;
    try {
      await this.#observed('List', request, async () => {
        const backend = this.options.backends.of(request.snapshotter);
        for (let after: number | undefined = 0; after !== undefined && !call.cancelled;) {
          const { filters } = request;
          const block: Result<'list'> = await this.#call(backend, 'list', { owner: backend.owner, filters, after });
          if (block.snapshots.length > 0 && !call.write({ info: block.snapshots.map(apiInfo) })) await writable(call);
          after = block.next;
        }
      });
      call.end();
    } catch (error) {
      call.emit('error', grpcFailure(error));
    }
  }

  #call<Name extends Method>(backend: Backend, method: Name, argument: Argument<Name>): Promise<Result<Name>> {
    return backend.thread.call(method, argument, this.options.timeouts[method]);
  }

  #observed<T>(method: string, request: NamedRequest, work: () => Promise<T>): Promise<T> {
    return observeRequest(this.options.observation, { method, fields: fieldsOf(request) }, work);
  }
}

/** Resolves when the client takes more, or has gone. */
async function writable(call: ServerWritableStream<ListSnapshotsRequest, object>): Promise<void> {
  const settled = new AbortController();
  try {
    await Promise.race(['drain', 'cancelled', 'close'].map((event) => once(call, event, { signal: settled.signal })));
  } finally {
    settled.abort();
  }
}

/** What a log line shows of a request: names, never labels. */
function fieldsOf(request: NamedRequest): Record<string, unknown> {
  const { snapshotter, key, name, parent } = request as NamedRequest & Record<string, unknown>;
  return Object.fromEntries(
    Object.entries({ snapshotter, key, name, parent }).filter(([, value]) => typeof value === 'string' && value !== ''),
  );
}
