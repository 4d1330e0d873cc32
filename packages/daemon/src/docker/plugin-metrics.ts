import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Counter, Gauge } from 'prom-client';
import type { ServerMetrics } from '../observability/server-metrics.js';
import type { BackendThread } from './backend-thread.js';

/**
 * What the Docker plugin counts besides requests:
 *
 * - `layerstore_docker_stream_bytes_total{direction}`: bytes of archives, `in` from the engine and `out` to it
 * - `layerstore_docker_views_mounted`
 * - `layerstore_docker_event_loop_delay_worst_seconds{thread}`: the longest time since the start that the thread which speaks the
 *   `protocol`, or that of the `driver`, did not turn to the next event
 */
export class PluginMetrics implements Disposable {
  readonly #streamed: Counter<'direction'>;
  readonly #delay = monitorEventLoopDelay({ resolution: 10 });

  constructor({ registry }: ServerMetrics, backend: BackendThread) {
    const registers = [registry];
    const delay = this.#delay;
    delay.enable();
    this.#streamed = new Counter({
      name: 'layerstore_docker_stream_bytes_total',
      help: 'Bytes of archives, in from the engine and out to it.',
      labelNames: ['direction'],
      registers,
    });
    const views = new Gauge({
      name: 'layerstore_docker_views_mounted',
      help: 'Views that are mounted in the home.',
      registers,
    });
    new Gauge({
      name: 'layerstore_docker_event_loop_delay_worst_seconds',
      help: 'Longest time since the start that a thread did not turn to the next event.',
      labelNames: ['thread'],
      registers,
      async collect() {
        const { mountedViews, worstDelay } = await backend.call('statistics', undefined);
        views.set(mountedViews);
        this.set({ thread: 'driver' }, worstDelay);
        this.set({ thread: 'protocol' }, delay.max / 1e9);
      },
    });
  }

  streamed(direction: 'in' | 'out', bytes: number): void {
    this.#streamed.inc({ direction }, bytes);
  }

  [Symbol.dispose](): void {
    this.#delay.disable();
  }
}
