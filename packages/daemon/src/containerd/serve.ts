import { Gauge } from 'prom-client';
import type { StoreError } from '@layerstore/core';
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
    return {
      failed: Promise.race(backends.threads.map((thread) => thread.ended)).then((error: StoreError) =>
        Promise.reject(error),
      ),
      [Symbol.asyncDispose]: async () => {
        await server[Symbol.asyncDispose]();
        await backends[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await backends[Symbol.asyncDispose]();
    throw error;
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
