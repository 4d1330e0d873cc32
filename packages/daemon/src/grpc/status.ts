import grpc from '@grpc/grpc-js';
import { fromSystemError } from '@layerstore/core';

/** What a client sees of an error: the status of its row in the error table, the message, and the next step. */
export interface GrpcFailure {
  readonly code: number;
  readonly details: string;
}

export function grpcFailure(error: unknown): GrpcFailure {
  const failure = fromSystemError(error);
  const codes: Readonly<Record<string, unknown>> = grpc.status;
  const code = codes[failure.class.grpc];
  return {
    code: typeof code === 'number' ? code : grpc.status.UNKNOWN,
    details: failure.hint === undefined ? failure.message : `${failure.message} (${failure.hint})`,
  };
}
