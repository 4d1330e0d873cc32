export * from './driver.js';
export type { DriverOptions } from './driver-options.js';
export * from './layer-diffs.js';
export * from './views/layer-views.js';
export { detectDriver } from './detect-driver.js';
export { statePath } from './home/state-directory.js';
export { driverNames, isDriverName, openDriver, type DriverName } from './registry.js';
