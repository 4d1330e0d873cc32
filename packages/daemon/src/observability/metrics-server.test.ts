import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { StoreError } from '@layerstore/core';
import { MetricsServer, parseListenAddress } from './metrics-server.js';
import { observeRequest } from './observe-request.js';
import { RequestIds } from './request-ids.js';
import { serverLogger } from './server-logger.js';
import { ServerMetrics } from './server-metrics.js';

function observed() {
  const lines: string[] = [];
  const logger = serverLogger({
    server: 'docker',
    level: 'debug',
    destination: { write: (line) => void lines.push(line) },
  });
  const observation = { logger, metrics: new ServerMetrics('docker'), requestIds: new RequestIds() };
  return { observation, records: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

describe('MetricsServer', () => {
  it('shows what was asked and how it ended, in the format of Prometheus', async () => {
    const { observation } = observed();
    const { metrics } = observation;
    await using server = await MetricsServer.listen(parseListenAddress('127.0.0.1:0'), metrics.registry);
    await observeRequest(observation, { method: 'Get', fields: {} }, () => Promise.resolve(1));
    const failing = observeRequest(observation, { method: 'Get', fields: {} }, () =>
      Promise.reject(new StoreError('ERR_LAYER_NOT_FOUND', 'no such layer', { subject: 'x' })),
    );
    await expect(failing).rejects.toThrow('x: no such layer');
    const response = await fetch(`http://127.0.0.1:${server.address.port}/metrics`);
    expect(response.headers.get('content-type')).toContain('text/plain; version=0.0.4');
    const text = await response.text();
    expect(text).toContain('layerstore_requests_total{server="docker",method="Get",outcome="ok"} 1');
    expect(text).toContain('layerstore_requests_total{server="docker",method="Get",outcome="ERR_LAYER_NOT_FOUND"} 1');
    expect(text).toContain('layerstore_request_duration_seconds_count{server="docker",method="Get"} 2');
    expect(text).toContain('layerstore_requests_in_flight{server="docker"} 0');
    expect(text).toContain('process_resident_memory_bytes');
  });

  it('answers 404, 405 and /healthz', async () => {
    await using server = await MetricsServer.listen(
      { host: '127.0.0.1', port: 0 },
      new ServerMetrics('docker').registry,
    );
    const base = `http://127.0.0.1:${server.address.port}`;
    expect((await fetch(`${base}/other`)).status).toBe(404);
    expect((await fetch(`${base}/metrics`, { method: 'POST' })).status).toBe(405);
    expect(await (await fetch(`${base}/healthz?x=1`)).text()).toBe('ok\n');
  });

  it('names an address that is taken', async () => {
    const other = createServer();
    other.listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    const listening = MetricsServer.listen({ host: '127.0.0.1', port }, new ServerMetrics('docker').registry);
    await expect(listening).rejects.toThrow(`127.0.0.1:${port}: `);
    other.close();
  });

  it.each(['9100', 'localhost', 'localhost:x', '127.0.0.1:70000', '::1:9100', ''])(
    'refuses %j as an address',
    (text) => {
      expect(() => parseListenAddress(text)).toThrow('not an address to listen on');
    },
  );

  it('takes IPv6 addresses in brackets', () => {
    expect(parseListenAddress('[::1]:9100')).toEqual({ host: '::1', port: 9100 });
  });
});

describe('observeRequest', () => {
  it('writes one line per request, with its id, and tells faults from answers', async () => {
    const { observation, records } = observed();
    await observeRequest(observation, { method: 'Create', fields: { id: 'a' } }, (logger) => {
      logger.info({ step: 1 }, 'working');
      return Promise.resolve();
    });
    const refuse = (error: Error) =>
      observeRequest(observation, { method: 'Get', fields: {} }, () => Promise.reject(error));
    await expect(refuse(new StoreError('ERR_EXISTS', 'taken', { subject: 'a', hint: 'rename' }))).rejects.toThrow();
    await expect(refuse(new TypeError('oops'))).rejects.toThrow();
    const [working, answered, answer, fault] = records();
    expect(working).toMatchObject({ level: 'info', server: 'docker', method: 'Create', id: 'a', msg: 'working' });
    expect(answered).toMatchObject({ level: 'debug', msg: 'answered', request: working?.['request'] });
    expect(answer).toMatchObject({
      level: 'debug',
      error: { code: 'ERR_EXISTS', message: 'a: taken', subject: 'a', hint: 'rename' },
    });
    expect(fault).toMatchObject({ level: 'error', error: { code: 'ERR_INTERNAL' } });
    expect(fault?.['request']).not.toBe(answer?.['request']);
    expect(fault?.['time']).toMatch(/^\d{4}-\d\d-\d\dT.*Z$/);
  });
});
