export * from './observability/metrics-server.js';
export * from './observability/observe-request.js';
export * from './observability/request-ids.js';
export * from './observability/server-logger.js';
export * from './observability/server-metrics.js';
