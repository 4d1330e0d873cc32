/** Registries that attack: endless answers, wrong lengths, moving tags, names that are paths. */
import { existsSync, readdirSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { LayerStore } from '@layerstore/store';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isRoot, Scratch } from '../support/scratch.js';
import { ScriptedRegistry, types, type ScriptedImage, type ScriptedRequest } from '../support/scripted-registry.js';
import { tarOf } from '../support/tar.js';

const patience = { attempts: 2, firstPause: 5, longestPause: 100, stall: 2000 };

function drainOrClose(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const go = (): void => {
      response.off('drain', go).off('close', go);
      resolve();
    };
    response.on('drain', go).on('close', go);
  });
}

describe.skipIf(!isRoot)('a hostile registry (needs root)', () => {
  let scratch: Scratch;
  let registry: ScriptedRegistry;
  let store: LayerStore;
  let image: ScriptedImage;

  beforeEach(async () => {
    scratch = new Scratch('hostile');
    registry = await ScriptedRegistry.start();
    store = await LayerStore.open({ root: scratch.file('root') });
    image = registry.addImage('1', [tarOf({ file: 'content' })]);
  });
  afterEach(async () => {
    expect(await store.images.list()).toEqual([]);
    expect(await store.check()).toMatchObject({ findings: [], leftovers: [] });
    expect(readdirSync(scratch.file('root/staging'))).toEqual([]);
    await store.close();
    await registry[Symbol.asyncDispose]();
    scratch[Symbol.dispose]();
  });

  const pull = (tag = '1') => store.images.pull(`${registry.host}/app:${tag}`, { registry: { patience } });
  const layer = () => image.layers[0]!;
  const isLayer = ({ url }: ScriptedRequest): boolean => url.endsWith(layer().digest);
  const isManifest = ({ url }: ScriptedRequest): boolean => url.includes('/manifests/');
  /** Counts how much of an answer without end was taken. */
  const endless = async (response: ServerResponse, headers: Record<string, string | number> = {}): Promise<number> => {
    response.writeHead(200, headers);
    const chunk = Buffer.alloc(64 * 1024, 0x20);
    let sent = 0;
    while (!response.destroyed && sent < 1e9) {
      sent += chunk.length;
      if (!response.write(chunk)) await drainOrClose(response);
    }
    return sent;
  };

  it('a manifest of 100 MB is refused before it is read', async () => {
    registry.script = (request, response) => {
      if (!isManifest(request)) return false;
      void endless(response, { 'content-length': 100_000_000, 'content-type': types.manifest });
      return true;
    };
    await expect(pull()).rejects.toMatchObject({ code: 'ERR_LIMIT_EXCEEDED' });
  });

  it('a manifest without end is read no further than its limit', async () => {
    let sent: Promise<number> | undefined;
    registry.script = (request, response) => {
      if (!isManifest(request)) return false;
      sent = endless(response, { 'content-type': types.manifest });
      return true;
    };
    await expect(pull()).rejects.toMatchObject({ code: 'ERR_LIMIT_EXCEEDED' });
    expect(await sent).toBeLessThan(32 * 1024 * 1024);
  });

  it('a layer without end is read no further than its size', async () => {
    let sent: Promise<number> | undefined;
    registry.script = (request, response) => {
      if (!isLayer(request)) return false;
      sent = endless(response);
      return true;
    };
    await expect(pull()).rejects.toMatchObject({ code: 'ERR_SIZE_MISMATCH' });
    expect(await sent).toBeLessThan(32 * 1024 * 1024);
  });

  it('an error without end is read no further than its beginning', async () => {
    let sent: Promise<number> | undefined;
    registry.script = (request, response) => {
      if (!isManifest(request)) return false;
      response.statusCode = 404;
      sent = endless(response);
      return true;
    };
    await expect(pull()).rejects.toMatchObject({
      code: expect.stringMatching(/^ERR_(MALFORMED_IMAGE|LIMIT_EXCEEDED|IMAGE_NOT_FOUND)$/) as string,
    });
    expect(await sent).toBeLessThan(32 * 1024 * 1024);
  });

  it.for([
    ['longer than its manifest says', (bytes: Buffer) => Buffer.concat([bytes, bytes])],
    ['shorter than its manifest says', (bytes: Buffer) => bytes.subarray(0, 10)],
  ] as const)('a layer that is %s is refused by its length', async ([, change]) => {
    registry.blobs.set(layer().digest, change(layer().bytes));
    await expect(pull()).rejects.toMatchObject({ code: 'ERR_SIZE_MISMATCH' });
  });

  it('a layer of the right length with other bytes is refused by its digest', async () => {
    const wrong = Buffer.from(layer().bytes);
    wrong[wrong.length - 12]! ^= 1;
    registry.blobs.set(layer().digest, wrong);
    await expect(pull()).rejects.toMatchObject({ code: 'ERR_DIGEST_MISMATCH' });
  });

  it('a config and a manifest with other bytes are refused by their digests', async () => {
    const changed = Buffer.from(registry.blobs.get(image.id)!.toString().replace('linux', 'Linux'));
    registry.blobs.set(image.id, changed);
    await expect(pull()).rejects.toMatchObject({ code: 'ERR_DIGEST_MISMATCH' });
    const other = registry.addImage('2', [tarOf({ other: 'image' })]);
    registry.manifests.set(image.digest, registry.manifests.get(other.digest)!);
    await expect(store.images.pull(`${registry.host}/app@${image.digest}`)).rejects.toMatchObject({
      code: 'ERR_DIGEST_MISMATCH',
    });
  });

  it('a digest in the header that is not that of the manifest is refused', async () => {
    registry.script = (request, response) => {
      if (isManifest(request)) response.setHeader('docker-content-digest', `sha256:${'0'.repeat(64)}`);
      return false;
    };
    await expect(pull()).rejects.toMatchObject({ code: 'ERR_DIGEST_MISMATCH' });
  });

  it('a platform that is another image than its index says is refused', async () => {
    const { bytes } = registry.manifests.get(image.digest)!;
    const entry = { mediaType: types.manifest, digest: image.digest, platform: { os: 'linux', architecture: 'amd64' } };
    registry.addManifest('lying', { schemaVersion: 2, manifests: [{ ...entry, size: bytes.length + 1 }] }, types.index);
    await expect(pull('lying')).rejects.toMatchObject({ code: 'ERR_SIZE_MISMATCH' });
  });

  it.for([
    'sha256:../../../../etc/passwd',
    `sha256:${'A'.repeat(64)}`,
    `../../../etc/${'0'.repeat(64)}`,
    `sha256:${'0'.repeat(63)}/`,
    `md5:${'0'.repeat(32)}`,
    '',
  ])('%j is no digest: nothing is asked for or written by it', async (digest) => {
    const manifest = JSON.parse(registry.manifests.get('1')!.bytes.toString()) as { layers: object[]; config: object };
    const size = 10;
    registry.addManifest('layer', { ...manifest, layers: [{ mediaType: types.layer, digest, size }] }, types.manifest);
    registry.addManifest('config', { ...manifest, config: { mediaType: types.config, digest, size } }, types.manifest);
    registry.addManifest(
      'entry',
      { schemaVersion: 2, manifests: [{ mediaType: types.manifest, digest, size }] },
      types.index,
    );
    for (const tag of ['layer', 'config', 'entry']) {
      registry.requests.length = 0;
      await expect(pull(tag)).rejects.toMatchObject({ code: 'ERR_MALFORMED_IMAGE' });
      expect(registry.paths.filter((path) => path !== '/v2/' && path !== '')).toEqual([`app/manifests/${tag}`]);
    }
    expect(existsSync(scratch.file('root/etc'))).toBe(false);
  });

  it('an index in an index in an index, and one that holds itself, end', async () => {
    let entry = {
      mediaType: types.index,
      digest: registry.addManifest('0', { schemaVersion: 2, manifests: [] }, types.index),
      size: 36,
    };
    for (let depth = 0; depth < 20; depth += 1) {
      const document = { schemaVersion: 2, manifests: [entry] };
      const digest = registry.addManifest('deep', document, types.index);
      entry = { mediaType: types.index, digest, size: JSON.stringify(document).length };
    }
    await expect(pull('deep')).rejects.toMatchObject({ code: 'ERR_LIMIT_EXCEEDED' });
  });

  it('redirects that go round in a circle end', async () => {
    registry.script = (request, response) => {
      if (!isLayer(request)) return false;
      response.writeHead(302, { location: request.url }).end();
      return true;
    };
    await expect(pull()).rejects.toMatchObject({
      code: 'ERR_UNSAFE_TRANSFER',
      message: expect.stringContaining('redirects in a row') as string,
    });
    expect(registry.requests.filter(isLayer)).toHaveLength(6);
  });

  it('a redirect to a file or to nowhere is refused', async () => {
    for (const location of ['file:///etc/passwd', 'http://', 'ftp://127.0.0.1/x']) {
      registry.script = (request, response) => {
        if (!isLayer(request)) return false;
        response.writeHead(302, { location }).end();
        return true;
      };
      await expect(pull()).rejects.toMatchObject({
        code: expect.stringMatching(/^ERR_(UNSAFE_TRANSFER|REGISTRY_FAILED)$/) as string,
      });
    }
  });

  it('words of a registry cannot steer the terminal', async () => {
    registry.script = (request, response) => {
      if (!isManifest(request)) return false;
      response.writeHead(404).end(JSON.stringify({ errors: [{ code: 'X', message: '\u001b[2J\u0007gone' }] }));
      return true;
    };
    const error = (await pull().catch((reason: unknown) => reason)) as Error;
    expect(error.message).toContain('\\x1b[2J\\x07gone');
  });

  it('a token server that gives no token, or a header in place of one, is refused', async () => {
    for (const body of ['{}', 'no JSON', JSON.stringify({ token: 'x\r\nX-Evil: 1' })]) {
      registry.script = (request, response) => {
        if (request.url.startsWith('/token')) response.writeHead(200).end(body);
        else if (isManifest(request)) {
          response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${registry.host}/token"` }).end();
        } else return false;
        return true;
      };
      await expect(pull()).rejects.toMatchObject({ code: 'ERR_REGISTRY_FAILED' });
    }
  });
});

describe.skipIf(!isRoot)('a tag that moves while it is pulled (needs root)', () => {
  it('gives one image or the other, never parts of both', async () => {
    using scratch = new Scratch('moving');
    await using registry = await ScriptedRegistry.start();
    const [one, two] = ['one', 'two'].map((name) => {
      const image = registry.addImage(name, [tarOf({ [name]: name }), tarOf({ both: 'the same name', [name]: 'x' })]);
      const { bytes } = registry.manifests.get(name)!;
      const entry = {
        mediaType: types.manifest,
        digest: image.digest,
        size: bytes.length,
        platform: { os: 'linux', architecture: 'amd64' },
      };
      registry.addManifest(`${name}-index`, { schemaVersion: 2, manifests: [entry] }, types.index);
      return image;
    });
    let turn = 0;
    registry.script = (request, response) => {
      if (!request.url.endsWith('/manifests/moving')) return false;
      const { bytes, type } = registry.manifests.get((turn += 1) % 2 === 1 ? 'one-index' : 'two-index')!;
      response.writeHead(200, { 'content-type': type, 'content-length': bytes.length }).end(bytes);
      return true;
    };
    await using store = await LayerStore.open({ root: scratch.file('root') });
    const options = { platform: 'linux/amd64' };
    const first = await store.images.pull(`${registry.host}/app:moving`, options);
    expect(registry.paths.filter((path) => path === 'app/manifests/moving')).toHaveLength(1);
    const second = await store.images.pull(`${registry.host}/app:moving`, options);
    expect([first.id, second.id]).toEqual([one!.id, two!.id]);
    expect(await store.check({ verify: true })).toMatchObject({ findings: [], leftovers: [] });
    expect(await store.images.inspect(`${registry.host}/app:moving`)).toMatchObject({ id: two!.id });
  });
});
