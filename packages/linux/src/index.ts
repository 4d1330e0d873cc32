export * from './constants.js';
export * from './mount-plan.js';
export { errnoName, hasErrno } from './native/errno.js';
export * from './native-syscalls.js';
export * from './syscalls.js';
export * from './zstd.js';
