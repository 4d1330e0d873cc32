/** Networks and registries that fail in the middle: ranges, pauses, stalls, killed processes. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import type { Progress } from '@layerstore/core';
import { LayerStore, type PullOptions } from '@layerstore/store';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { commandPath } from '../support/command.js';
import { isRoot, Scratch } from '../support/scratch.js';
import { ScriptedRegistry, type ScriptedImage, type ScriptedRequest } from '../support/scripted-registry.js';
import { tarOf } from '../support/tar.js';

/** Incompressible, so that a blob is as long as its content. */
const noise = (length: number, seed: number): Buffer => {
  const bytes = Buffer.alloc(length);
  for (let at = 0, state = seed; at < length; at += 1) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    bytes[at] = state >>> 16;
  }
  return bytes;
};

const patience = { attempts: 4, firstPause: 5, longestPause: 2000, stall: 400 };

describe.skipIf(!isRoot)('a pull over a network that fails (needs root)', () => {
  let scratch: Scratch;
  let registry: ScriptedRegistry;
  let store: LayerStore;
  let image: ScriptedImage;
  let reference: string;

  beforeEach(async () => {
    scratch = new Scratch('faults');
    registry = await ScriptedRegistry.start();
    store = await LayerStore.open({ root: scratch.file('root') });
    image = registry.addImage('1', [tarOf({ big: noise(3_000_000, 1) }), tarOf({ small: 'content' })]);
    reference = `${registry.host}/app:1`;
  });
  afterEach(async () => {
    await store.close();
    await registry[Symbol.asyncDispose]();
    scratch[Symbol.dispose]();
  });

  const pull = (options: PullOptions = {}) => store.images.pull(reference, { registry: { patience }, ...options });
  const big = () => image.layers[0]!;
  const isBig = ({ url }: ScriptedRequest): boolean => url.endsWith(big().digest);
  const ranges = (): (string | undefined)[] => registry.requests.filter(isBig).map(({ headers }) => headers.range);
  const sound = async (): Promise<void> => {
    expect(await store.check({ verify: true })).toMatchObject({ findings: [], leftovers: [] });
    expect(readdirSync(scratch.file('root/staging'))).toEqual([]);
  };
  /** Sends the first bytes of the big layer, then breaks the connection. */
  const cutAt = (response: ServerResponse, from: number, to: number): true => {
    const { bytes } = big();
    response.writeHead(from === 0 ? 200 : 206, {
      'content-length': bytes.length - from,
      ...(from === 0 ? {} : { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` }),
    });
    response.write(bytes.subarray(from, to), () => response.destroy());
    return true;
  };

  it('goes on by ranges where the connection broke', async () => {
    const cuts = [1_000_000, 2_000_000];
    registry.script = (request, response) => {
      const from = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
      const cut = isBig(request) ? cuts.shift() : undefined;
      return cut === undefined ? false : cutAt(response, from, cut);
    };
    expect(await pull()).toMatchObject({ id: image.id });
    expect(ranges()).toEqual([undefined, expect.stringMatching(/^bytes=\d+-$/), expect.stringMatching(/^bytes=\d+-$/)]);
    await sound();
  });

  it('reads over what it has when the registry does not know ranges', async () => {
    let cut = true;
    registry.script = (request, response) => {
      if (!isBig(request)) return false;
      if (!cut) response.writeHead(200, { 'content-length': big().bytes.length }).end(big().bytes);
      else cutAt(response, 0, 1_500_000);
      cut = false;
      return true;
    };
    expect(await pull()).toMatchObject({ id: image.id });
    await sound();
  });

  it('refuses another range than it asked for', async () => {
    let cut = true;
    registry.script = (request, response) => {
      if (!isBig(request)) return false;
      const { length } = big().bytes;
      if (cut) cutAt(response, 0, 1_500_000);
      else response.writeHead(206, { 'content-range': `bytes 0-${length - 1}/${length}` }).end(big().bytes);
      cut = false;
      return true;
    };
    await expect(pull()).rejects.toMatchObject({ code: 'ERR_REGISTRY_FAILED' });
  });

  it('tries again as Retry-After says, and tells that it waits', async () => {
    let busy = 2;
    registry.script = (request, response) => {
      if (!request.url.includes('/manifests/') || busy === 0) return false;
      busy -= 1;
      response.writeHead(busy === 1 ? 429 : 503, { 'retry-after': '1' });
      response.end(JSON.stringify({ errors: [{ code: 'TOOMANYREQUESTS', message: 'slow down' }] }));
      return true;
    };
    const events: Progress[] = [];
    expect(await pull({ onProgress: (event) => events.push(event) })).toMatchObject({ id: image.id });
    const waits = events.filter((event) => event.kind === 'wait');
    expect(waits.map(({ reason }) => reason)).toEqual([
      'the registry says: slow down (TOOMANYREQUESTS); again in 1 s',
      'the registry says: slow down (TOOMANYREQUESTS); again in 1 s',
    ]);
  });

  it('does not wait longer than it has patience', async () => {
    registry.script = (_request, response) => {
      response.writeHead(429, { 'retry-after': '3600' }).end();
      return true;
    };
    await expect(pull()).rejects.toMatchObject({
      code: 'ERR_REGISTRY_FAILED',
      message: expect.stringContaining('asks to wait for 3600 s') as string,
    });
  });

  it('gives up after the attempts that it has, with the words of the registry', async () => {
    registry.script = (request, response) => {
      if (!isBig(request)) return false;
      response.writeHead(502).end('<html>upstream</html>');
      return true;
    };
    await expect(pull()).rejects.toMatchObject({
      code: 'ERR_REGISTRY_FAILED',
      message: `${reference}: ${big().digest}: the registry says: Bad Gateway (HTTP 502)`,
    });
    expect(ranges()).toHaveLength(patience.attempts);
  });

  it.for([
    ['says nothing', 0],
    ['sends a byte now and then', 1],
  ] as const)('gives a connection up that %s', async ([, bytes]) => {
    registry.script = async (request, response) => {
      if (!isBig(request)) return false;
      response.writeHead(200, { 'content-length': big().bytes.length });
      response.flushHeaders();
      while (!response.destroyed) {
        if (bytes > 0) response.write(Buffer.alloc(bytes));
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      return true;
    };
    await expect(pull()).rejects.toMatchObject({
      code: 'ERR_REGISTRY_UNREACHABLE',
      message: expect.stringMatching(
        bytes === 0 ? /nothing came for 0.4 s/ : /fewer than 1024 bytes in 0.4 s/,
      ) as string,
    });
  });

  it('keeps what came when it gives up; the next pull fetches only the rest', async () => {
    registry.script = (request, response) => isBig(request) && cutAt(response, 0, 1_500_000);
    // Every attempt breaks at the same place; ranges are answered from the start, so nothing more comes.
    await expect(pull()).rejects.toMatchObject({ code: expect.stringMatching(/^ERR_REGISTRY_/) as string });
    const kept = scratch.file('root/staging', `download-${big().digest.slice(7)}`, 'blob');
    expect(statSync(kept).size).toBe(1_500_000);
    registry.script = () => false;
    registry.requests.length = 0;
    expect(await pull()).toMatchObject({ id: image.id });
    expect(ranges()).toEqual(['bytes=1500000-']);
    await sound();
  });

  it('after kill -9 the next pull fetches only the rest, and prune collects what no pull comes back for', async () => {
    const held: ServerResponse[] = [];
    registry.script = (request, response) => {
      if (!isBig(request)) return false;
      response.writeHead(200, { 'content-length': big().bytes.length });
      response.write(big().bytes.subarray(0, 2_000_000));
      held.push(response);
      return true;
    };
    const kill = async (): Promise<void> => {
      const child = spawn(process.execPath, [commandPath, '--root', scratch.file('root'), 'pull', reference], {
        stdio: 'ignore',
      });
      while (!existsSync(kept) || statSync(kept).size < 2_000_000)
        await new Promise((resolve) => setTimeout(resolve, 20));
      child.kill('SIGKILL');
      await once(child, 'close');
    };
    const kept = scratch.file('root/staging', `download-${big().digest.slice(7)}`, 'blob');
    await kill();
    const script = registry.script;
    registry.script = () => false;
    registry.requests.length = 0;
    expect(await pull()).toMatchObject({ id: image.id });
    expect(ranges()).toEqual(['bytes=2000000-']);
    await store.images.remove(reference);
    registry.script = script;
    await kill();
    expect((await store.check()).leftovers.length).toBeGreaterThan(0);
    await store.prune();
    await sound();
    expect(existsSync(kept)).toBe(false);
  });

  it('starts over when what an earlier pull left is damaged', async () => {
    registry.script = (request, response) => isBig(request) && cutAt(response, 0, 1_500_000);
    await expect(pull()).rejects.toThrow();
    const kept = scratch.file('root/staging', `download-${big().digest.slice(7)}`, 'blob');
    const damaged = readFileSync(kept);
    damaged.fill(0, 700_000);
    writeFileSync(kept, damaged);
    registry.script = () => false;
    registry.requests.length = 0;
    expect(await pull()).toMatchObject({ id: image.id });
    expect(ranges()).toEqual(['bytes=1500000-', undefined]);
    await sound();
  });

  it('a cancelled pull ends at once and leaves nothing', async () => {
    const controller = new AbortController();
    registry.script = (request, response) => {
      if (!isBig(request)) return false;
      response.writeHead(200, { 'content-length': big().bytes.length });
      response.write(big().bytes.subarray(0, 500_000), () => setTimeout(() => controller.abort(), 50));
      return true;
    };
    await expect(pull({ signal: controller.signal })).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    expect(await store.images.list()).toEqual([]);
    await sound();
  });

  it('a push goes on where the connection broke, and is refused with the words of the registry', async () => {
    await pull();
    const stored = new Map<string, Buffer>();
    let session = Buffer.alloc(0);
    let cut = true;
    registry.script = async (request, response) => {
      const { method, url, headers } = request;
      if (method === 'HEAD') response.writeHead(404).end();
      else if (method === 'POST') response.writeHead(202, { location: '/v2/copy/blobs/uploads/1' }).end();
      else if (method === 'GET' && url.includes('/uploads/')) {
        response.writeHead(204, { location: '/v2/copy/blobs/uploads/1', range: `0-${session.length - 1}` }).end();
      } else if (method === 'PUT' || method === 'PATCH') {
        const chunks: Buffer[] = [];
        const source = response.req;
        const isLong = Number(headers['content-length']) > 1_000_000;
        for await (const chunk of source as AsyncIterable<Buffer>) {
          chunks.push(chunk);
          if (!cut || !isLong || Buffer.concat(chunks).length < 1_000_000) continue;
          cut = false;
          session = Buffer.concat(chunks);
          response.destroy();
          return true;
        }
        const body = Buffer.concat([method === 'PATCH' ? session : Buffer.alloc(0), ...chunks]);
        session = body.length === 0 ? session : body;
        if (method === 'PATCH') response.writeHead(202, { location: '/v2/copy/blobs/uploads/1' }).end();
        else if (url.includes('/manifests/')) {
          response.writeHead(400).end(JSON.stringify({ errors: [{ code: 'MANIFEST_INVALID', message: 'not today' }] }));
        } else {
          const digest = new URL(url, 'http://x').searchParams.get('digest') ?? '';
          stored.set(digest, session);
          response.writeHead(201).end();
        }
      } else return false;
      return true;
    };
    await expect(
      store.images.push(reference, `${registry.host}/copy:1`, { registry: { patience }, compression: 'gzip' }),
    ).rejects.toMatchObject({
      code: 'ERR_REGISTRY_FAILED',
      message: `${registry.host}/copy:1: the registry says: not today (MANIFEST_INVALID)`,
    });
    expect(registry.requests.filter(({ method }) => method === 'PATCH')).toMatchObject([
      { headers: { 'content-range': expect.stringMatching(/^\d{7}-\d{7}$/) as string } },
    ]);
    expect(stored.size).toBe(3);
  });
});
