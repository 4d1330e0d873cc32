/** The entry of the thread that publishes. */
import { parentPort, workerData } from 'node:worker_threads';
import { toErrorRecord } from '@layerstore/core';
import type { PublishAnswer, PublishCall } from '../publish/publish-calls.js';
import { missingLayers, publishRevision } from '../publish/publish-revision.js';

async function answer(call: PublishCall): Promise<PublishAnswer> {
  try {
    const result =
      call.kind === 'missing' ? missingLayers(call.input, call.input.digests) : await publishRevision(call.input);
    return { kind: 'result', result };
  } catch (error) {
    return { kind: 'error', error: toErrorRecord(error) };
  }
}

parentPort?.postMessage(await answer(workerData as PublishCall));
