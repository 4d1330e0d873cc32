import { Gauge } from 'prom-client';
import { requireLinuxRoot } from '@layerstore/linux';
import { Snapshots } from '../grpc/generated/snapshots_pb.js';
import { GrpcServer } from '../grpc/grpc-server.js';
import { serviceDefinition } from '../grpc/service-definition.js';
import type { ListenTarget } from '../grpc/unix-listener.js';
import type { Observation } from '../observability/observe-request.js';
import { Backends, type BackendsOptions } from './backends.js';
import { SnapshotService } from './snapshot-service.js';
import { defaultTimeouts, type Timeouts } from './timeouts.js';

export interface ServeContainerdOptions extends BackendsOptions {
  readonly listen: ListenTarget;
  readonly observation: Observation;
  /** Whether a commit waits until its data is on disk; default `synced`. */
  readonly durability?: 'synced' | 'unsynced';
  readonly timeouts?: Partial<Timeouts>;
  /** How long calls may go on after the end was asked for, in milliseconds; default 10 000. */
  readonly graceMs?: number;
}

/** A running server; disposing of it ends it in order. */
export interface ContainerdServer extends AsyncDisposable {
  /** Rejects when the server cannot go on. */
  readonly failed: Promise<never>;
}

/**
 * Serves roots to containerd as a proxy snapshotter. On return the socket answers.
 * @throws StoreError as LayerStore.open and UnixListener.listen; ERR_BUSY when a server of this name serves a root already
 */
export async function startContainerdServer(options: ServeContainerdOptions): Promise<ContainerdServer> {
  requireLinuxRoot('serving snapshots');
  const { observation } = options;
  const backends = await Backends.open(options, observation.logger);
  try {
    const service = new SnapshotService({
      backends,
      observation,
      timeouts: { ...defaultTimeouts, ...options.timeouts },
      durability: options.durability ?? 'synced',
    });
    countDeletions(observation, backends);
    const server = await GrpcServer.start({
      listen: options.listen,
      service: serviceDefinition(Snapshots),
      implementation: service.implementation(),
      graceMs: options.graceMs ?? 10_000,
    });
    observation.logger.info({ ...options.listen }, 'serving containerd');
    return new RunningServer(backends, server);
  } catch (error) {
    await backends[Symbol.asyncDispose]();
    throw error;
  }
}

class RunningServer implements ContainerdServer {
  readonly failed: Promise<never>;
  #ending = false;

  constructor(
    private readonly backends: Backends,
    private readonly server: GrpcServer,
  ) {
    this.failed = new Promise((_, reject) => {
      for (const { ended } of backends.threads) {
        void ended.then((error) => {
          if (!this.#ending) reject(error);
        });
      }
    });
    // Who does not wait for it learns of it from the calls that fail.
    this.failed.catch(() => undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending = true;
    await this.server[Symbol.asyncDispose]();
    await this.backends[Symbol.asyncDispose]();
  }
}

function countDeletions({ metrics }: Observation, backends: Backends): void {
  new Gauge({
    name: 'layerstore_containerd_deletions_due',
    help: 'Directories of removed snapshots that are still to be deleted.',
    registers: [metrics.registry],
    async collect() {
      const due = await Promise.all(
        backends.threads.map((thread) => thread.call('deletionsDue', undefined, defaultTimeouts.deletionsDue)),
      );
      this.set(due.reduce((sum, count) => sum + count, 0));
    },
  });
}
