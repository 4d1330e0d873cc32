/**
 * The graph-driver plugin protocol: one `POST /GraphDriver.NAME` for each call.
 *
 * Engines repeat any exchange that breaks, without what they had sent of its body. So a call without an id, or an archive without
 * a byte, is refused, an answer that could not be delivered is taken back where it counts something, and a failing archive never
 * ends as a whole one would.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { fromSystemError, StoreError, toErrorRecord } from '@layerstore/core';
import { observeRequest, type Observation, type ObservedRequest } from '../observability/observe-request.js';
import { consumeBody } from './apply-stream.js';
import type { BackendThread } from './backend-thread.js';
import { comparedLayers, jsonCalls, type CallContext, type JsonMethod, type Reply } from './calls.js';
import { answerWithStream } from './diff-stream.js';
import { peerOf } from './peer.js';
import type { PluginMetrics } from './plugin-metrics.js';
import { replyError, replyJson } from './replies.js';
import { readBody } from './request-body.js';
import { parseApplyQuery, parseRequest, type Request } from './requests.js';

const PREFIX = '/GraphDriver.';

export interface ProtocolParts {
  readonly backend: BackendThread;
  readonly observation: Observation;
  readonly metrics: PluginMetrics;
}

export class PluginProtocol {
  constructor(private readonly parts: ProtocolParts) {}

  /** Answers one request; never throws. */
  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await this.#route(request, response);
    } catch (error) {
      replyError(response, fromSystemError(error));
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [path = '', query = ''] = (request.url ?? '').split('?', 2);
    if (request.method !== 'POST') {
      request.resume();
      throw new StoreError('ERR_NOT_SUPPORTED', 'the plugin protocol has POST requests only', { subject: path });
    }
    if (path === '/Plugin.Activate') {
      request.resume();
      replyJson(response, { Implements: ['GraphDriver'] });
      return;
    }
    const method = path.startsWith(PREFIX) ? path.slice(PREFIX.length) : '';
    if (method === 'ApplyDiff') return this.#applyDiff(request, response, query);
    if (method === 'Diff') return this.#diff(request, response);
    if (isJsonMethod(method)) return this.#json(method, request, response);
    request.resume();
    throw new StoreError('ERR_NOT_FOUND', 'the plugin protocol has no such call', { subject: path });
  }

  async #json(method: JsonMethod, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const input = parseRequest(method, await readBody(request));
    const call = jsonCalls[method] as (input: unknown, context: CallContext) => Promise<Reply>;
    await this.#observe(method, input, response, async () => {
      const controller = new AbortController();
      const gone = (): void => controller.abort();
      response.once('close', gone);
      const context = { backend: this.parts.backend, signal: controller.signal, peer: peerOf(request.socket) };
      const reply = await call(input, context);
      response.off('close', gone);
      if (method === 'Get') this.#takeBackUnless(response, (input as Request<'Get'>).ID);
      if (!response.destroyed) replyJson(response, reply);
    });
  }

  /** A view is counted for an engine that knows of it: one that never gets the answer asks again, and puts the view once. */
  #takeBackUnless(delivered: ServerResponse, id: string): void {
    const { backend, observation } = this.parts;
    const takeBack = (): void => {
      if (delivered.writableFinished) return;
      backend.call('put', { id }).catch((error: unknown) => {
        observation.logger.warn({ id, error: toErrorRecord(error) }, 'a view that nobody waits for stays mounted');
      });
    };
    if (delivered.destroyed) takeBack();
    else delivered.once('close', takeBack);
  }

  async #diff(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const input = parseRequest('Diff', await readBody(request));
    const { backend, metrics } = this.parts;
    await this.#observe('Diff', input, response, () =>
      answerWithStream(
        response,
        (fd, signal) => backend.call('diff', { ...comparedLayers(input), fd, names: ownerNames(request) }, signal),
        (bytes) => metrics.streamed('out', bytes),
      ),
    );
  }

  async #applyDiff(request: IncomingMessage, response: ServerResponse, query: string): Promise<void> {
    const input = parseApplyQuery(query);
    const { backend, metrics } = this.parts;
    await this.#observe('ApplyDiff', { ID: input.id, Parent: input.parent }, response, async () => {
      const size = await consumeBody(
        request,
        (fd, signal) => backend.call('applyDiff', { ...input, fd }, signal),
        (bytes) => metrics.streamed('in', bytes),
      );
      replyJson(response, { Size: size });
    });
  }

  async #observe(method: string, input: object, response: ServerResponse, work: () => Promise<void>): Promise<void> {
    try {
      await observeRequest(this.parts.observation, observed(method, input), work);
    } catch (error) {
      replyError(response, fromSystemError(error));
    }
  }
}

/** Engines sent an empty Host until some time after 23.0, when they left names of owners out of archives. */
function ownerNames({ headers: { host } }: IncomingMessage): 'host' | 'none' {
  return host === undefined || host === '' ? 'host' : 'none';
}

function observed(method: string, input: object): ObservedRequest {
  const { ID: id, Parent: parent } = input as { readonly ID?: string; readonly Parent?: string | null };
  return {
    method,
    fields: {
      ...(id === undefined ? {} : { id: id.slice(0, 128) }),
      ...(parent === undefined || parent === null || parent === '' ? {} : { parent: parent.slice(0, 128) }),
    },
  };
}

function isJsonMethod(name: string): name is JsonMethod {
  return Object.hasOwn(jsonCalls, name);
}
