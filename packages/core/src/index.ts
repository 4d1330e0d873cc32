export * from './digest.js';
export * from './error-codes.js';
export * from './id.js';
export * from './id-map.js';
export * from './logger.js';
export * from './progress.js';
export * from './steps.js';
export * from './store-error.js';
