/**
 * layerstore as a library: open a {@link LayerStore}, load images, make containers and workspaces.
 *
 * @packageDocumentation
 */
export * from '@layerstore/store';
export {
  StoreError,
  errorCodes,
  hasCode,
  silentLogger,
  type ChainId,
  type DiffId,
  type Digest,
  type ErrorClass,
  type ErrorCode,
  type LayerId,
  type LogFields,
  type Logger,
  type OperationOptions,
  type Progress,
  type ProgressListener,
  type ProgressOutcome,
  type Step,
  type StoreErrorOptions,
} from '@layerstore/core';
