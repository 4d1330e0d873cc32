import { toErrorRecord } from '@layerstore/core';
import type { BackendAnswer, BackendCall, BackendCalls, BackendMessage } from '../backend-calls.js';

/** The driver's side of {@link BackendCalls}. */
export type CallTargets = {
  readonly [Call in BackendCall]: (
    input: BackendCalls[Call]['input'],
    signal: AbortSignal,
  ) => Promise<BackendCalls[Call]['result']>;
};

/**
 * Answers the messages of the protocol thread, several at a time.
 * @param closed is called after `close` was answered
 */
export function serveCalls(
  targets: CallTargets,
  send: (answer: BackendAnswer) => void,
  closed: () => void,
): (message: BackendMessage) => void {
  const running = new Map<number, AbortController>();
  const run = async ({ number, call, input }: BackendMessage & { readonly kind: 'call' }): Promise<void> => {
    const controller = new AbortController();
    running.set(number, controller);
    try {
      const target = targets[call].bind(targets) as (input: unknown, signal: AbortSignal) => Promise<unknown>;
      send({ kind: 'result', number, result: await target(input, controller.signal) });
    } catch (error) {
      send({ kind: 'error', number, error: toErrorRecord(error) });
    } finally {
      running.delete(number);
    }
    if (call === 'close') closed();
  };
  return (message) => {
    if (message.kind === 'call') void run(message);
    else running.get(message.number)?.abort();
  };
}
