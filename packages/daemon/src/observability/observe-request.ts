import { fromSystemError } from '@layerstore/core';
import type { RequestIds } from './request-ids.js';
import type { ServerLogger } from './server-logger.js';
import type { ServerMetrics } from './server-metrics.js';

export interface Observation {
  readonly logger: ServerLogger;
  readonly metrics: ServerMetrics;
  readonly requestIds: RequestIds;
}

/** What the engine asked for: the method's name, and the fields that its log lines carry. */
export interface ObservedRequest {
  readonly method: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Errors that only layerstore or its machine can be blamed for; the others are answers. */
const faults: ReadonlySet<string> = new Set(['INTERNAL', 'DATA_LOSS', 'RESOURCE_EXHAUSTED', 'UNAVAILABLE', 'UNKNOWN']);

/**
 * Runs one request: counts it, gives it an id and a logger of its own, and writes one line when it ends: `debug` for success and for
 * errors that are answers (not found, exists), `error` for faults.
 */
export async function observeRequest<Result>(
  { logger, metrics, requestIds }: Observation,
  { method, fields }: ObservedRequest,
  work: (logger: ServerLogger) => Promise<Result>,
): Promise<Result> {
  const end = metrics.begin(method);
  const started = performance.now();
  const requestLogger = logger.child({ request: requestIds.next(), method, ...fields });
  const milliseconds = (): number => Math.round((performance.now() - started) * 1000) / 1000;
  try {
    const result = await work(requestLogger);
    end('ok');
    requestLogger.debug({ milliseconds: milliseconds() }, 'answered');
    return result;
  } catch (cause) {
    const error = fromSystemError(cause);
    end(error.code);
    const level = faults.has(error.class.grpc) ? 'error' : 'debug';
    requestLogger[level]({ milliseconds: milliseconds(), error }, 'refused');
    throw error;
  }
}
