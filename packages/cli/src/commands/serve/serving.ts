import type { Command } from 'commander';
import type { MetricsServer, Observation } from '@layerstore/daemon';
import { readGlobalOptions } from '../../global-options.js';
import type { Session } from '../../session.js';

/** Options that every server takes. */
export interface ServeOptions {
  readonly metrics?: string;
}

export function addServeOptions(command: Command): void {
  command.option('--metrics <address>', 'serve /metrics and /healthz over HTTP on HOST:PORT, without authentication');
}

/** Log, metrics and request ids of a server, for as long as it serves. */
export interface Observed extends AsyncDisposable {
  readonly observation: Observation;
}

/** Starts what makes a server observable: its log on stderr, and the metrics listener if one is asked for. */
export async function startObservation(
  server: string,
  command: Command,
  options: ServeOptions,
  session: Session,
): Promise<Observed> {
  const { MetricsServer, parseListenAddress, RequestIds, serverLogger, ServerMetrics } =
    await import('@layerstore/daemon');
  session.logLevel = readGlobalOptions(command, process.env).logLevel;
  const logger = serverLogger({ server, level: session.logLevel, destination: process.stderr });
  const metrics = new ServerMetrics(server);
  let listener: MetricsServer | undefined;
  if (options.metrics !== undefined) {
    listener = await MetricsServer.listen(parseListenAddress(options.metrics), metrics.registry);
    logger.info({ ...listener.address }, 'metrics are served');
  }
  return {
    observation: { logger, metrics, requestIds: new RequestIds() },
    [Symbol.asyncDispose]: async () => listener?.[Symbol.asyncDispose](),
  };
}
