import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';
import { fromSystemError, StoreError } from '@layerstore/core';

/** `127.0.0.1:9100`, `[::1]:9100`; port 0 takes any free one. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** @throws StoreError ERR_INVALID_ARGUMENT */
export function parseListenAddress(text: string): ListenAddress {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2];
  if (host !== undefined && port <= 65535) return { host, port };
  throw new StoreError('ERR_INVALID_ARGUMENT', 'not an address to listen on', {
    subject: JSON.stringify(text),
    hint: 'an address is HOST:PORT, for example 127.0.0.1:9323',
  });
}

/**
 * Serves `/metrics` in the text format of Prometheus over HTTP, and `/healthz`, which answers as long as the event loop turns.
 * It has no authentication: bind it to loopback.
 */
export class MetricsServer implements AsyncDisposable {
  private constructor(
    private readonly server: Server,
    /** Where it listens, with the port that was chosen. */
    readonly address: ListenAddress,
  ) {}

  /** @throws StoreError ERR_IO when the address is taken or is not ours, ERR_NEEDS_ROOT for a low port */
  static async listen(address: ListenAddress, registry: Registry): Promise<MetricsServer> {
    const server = createServer((request, response) => {
      void answer(request, response, registry);
    });
    server.listen({ host: address.host, port: address.port });
    try {
      await once(server, 'listening');
    } catch (error) {
      throw fromSystemError(error, `${address.host}:${address.port}`);
    }
    return new MetricsServer(server, { host: address.host, port: (server.address() as AddressInfo).port });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    this.server.closeAllConnections();
    await closed;
  }
}

async function answer(request: IncomingMessage, response: ServerResponse, registry: Registry): Promise<void> {
  const path = request.url?.split('?')[0];
  if (request.method !== 'GET' && request.method !== 'HEAD') reply(response, 405, 'only GET and HEAD\n');
  else if (path === '/metrics') await replyMetrics(response, registry);
  else if (path === '/healthz') reply(response, 200, 'ok\n');
  else reply(response, 404, 'there are /metrics and /healthz\n');
}

async function replyMetrics(response: ServerResponse, registry: Registry): Promise<void> {
  try {
    reply(response, 200, await registry.metrics(), registry.contentType);
  } catch (error) {
    reply(response, 500, `${fromSystemError(error).message}\n`);
  }
}

function reply(response: ServerResponse, status: number, text: string, type = 'text/plain; charset=utf-8'): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text) });
  response.end(text);
}
