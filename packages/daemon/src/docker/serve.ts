import type { StoreError } from '@layerstore/core';
import type { Observation } from '../observability/observe-request.js';
import { BackendThread } from './backend-thread.js';
import { PluginListener } from './plugin-listener.js';
import { PluginMetrics } from './plugin-metrics.js';
import { PluginProtocol } from './plugin-protocol.js';

export interface DockerPluginOptions {
  /** Absolute path of the Unix socket that dockerd connects to; it is made, 0600. */
  readonly socket: string;
  /** A descriptor on which a service manager listens on `socket` already. */
  readonly listenDescriptor?: number;
  /** Name of the driver: `overlay2`, `vfs`, ... */
  readonly driver: string;
  /** Options of the driver by key; those that dockerd sends win. */
  readonly storageOptions?: Readonly<Record<string, string>>;
  /** Where the socket's home is kept for restarts of the plugin. It should not outlive the machine's run. */
  readonly stateDirectory: string;
  readonly observation: Observation;
}

/** A graph-driver plugin for dockerd that is being served. */
export class DockerPlugin implements AsyncDisposable {
  private constructor(
    private readonly listener: PluginListener,
    private readonly backend: BackendThread,
    private readonly metrics: PluginMetrics,
  ) {}

  /**
   * Serves the plugin until it is disposed of. On return the socket answers.
   * @throws StoreError ERR_BUSY when somebody else serves the socket or its home, ERR_DRIVER_MISMATCH, ERR_UNKNOWN_DRIVER, and as
   * `openDriver` when the recorded home cannot be opened
   */
  static async start(options: DockerPluginOptions): Promise<DockerPlugin> {
    const { observation, socket, listenDescriptor } = options;
    const backend = await BackendThread.start(
      {
        driver: options.driver,
        storageOptions: options.storageOptions ?? {},
        socket,
        stateDirectory: options.stateDirectory,
      },
      observation.logger,
    );
    const metrics = new PluginMetrics(observation.metrics, backend);
    try {
      const protocol = new PluginProtocol({ backend, observation, metrics });
      const listener = await PluginListener.listen(
        { path: socket, ...(listenDescriptor === undefined ? {} : { descriptor: listenDescriptor }) },
        (request, response) => protocol.answer(request, response),
      );
      observation.logger.info({ socket, driver: options.driver }, 'serving');
      return new DockerPlugin(listener, backend, metrics);
    } catch (error) {
      metrics[Symbol.dispose]();
      await backend.close();
      throw error;
    }
  }

  /** Settles with the reason when the plugin cannot go on: dispose of it then, and start anew. */
  get failed(): Promise<StoreError> {
    return this.backend.failed;
  }

  /** Finishes what runs and stops. What is mounted stays mounted, for containers that run and for the next start. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.listener[Symbol.asyncDispose]();
    this.metrics[Symbol.dispose]();
    await this.backend.close();
  }
}
