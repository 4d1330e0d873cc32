/**
 * The dear parts of an open store, in a module of their own that is loaded when the first of them is needed. Named one by one: a
 * package's index would bring all that it exports.
 */
export { ArchiveWorkers } from '@layerstore/archive';
export { openDriver } from '@layerstore/drivers';
export { Mounter } from '@layerstore/linux';
