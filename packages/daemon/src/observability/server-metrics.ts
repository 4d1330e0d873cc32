import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

/** Seconds: from a cached answer to a call that is about to be given up. */
const durationBuckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** How a call ended: `ok`, or the code of its StoreError. */
export type Outcome = string;

/**
 * What both servers count, in the text format of Prometheus:
 *
 * - `layerstore_requests_total{server,method,outcome}`
 * - `layerstore_request_duration_seconds{server,method}`
 * - `layerstore_requests_in_flight{server}`
 * - the usual `process_*` and `nodejs_*` of the process
 *
 * Metrics of one server alone are made on {@link ServerMetrics.registry}, named `layerstore_<server>_...`.
 */
export class ServerMetrics {
  readonly registry = new Registry();
  readonly #requests: Counter<'server' | 'method' | 'outcome'>;
  readonly #durations: Histogram<'server' | 'method'>;
  readonly #inFlight: Gauge<'server'>;

  constructor(readonly server: string) {
    const registers = [this.registry];
    this.#requests = new Counter({
      name: 'layerstore_requests_total',
      help: 'Requests that were answered, by outcome: ok or an error code.',
      labelNames: ['server', 'method', 'outcome'],
      registers,
    });
    this.#durations = new Histogram({
      name: 'layerstore_request_duration_seconds',
      help: 'Time from the arrival of a request to its answer.',
      labelNames: ['server', 'method'],
      buckets: durationBuckets,
      registers,
    });
    this.#inFlight = new Gauge({
      name: 'layerstore_requests_in_flight',
      help: 'Requests that are being worked on.',
      labelNames: ['server'],
      registers,
    });
    this.#inFlight.set({ server }, 0);
    collectDefaultMetrics({ register: this.registry });
  }

  /** Counts a request that arrived; the function that is returned counts its end. */
  begin(method: string): (outcome: Outcome) => void {
    const { server } = this;
    const endTimer = this.#durations.startTimer({ server, method });
    this.#inFlight.inc({ server });
    return (outcome) => {
      endTimer();
      this.#inFlight.dec({ server });
      this.#requests.inc({ server, method, outcome });
    };
  }
}
