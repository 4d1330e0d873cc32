/** Registries behind an HTTP proxy. */
import { copyFileSync, mkdirSync } from 'node:fs';
import { LayerStore } from '@layerstore/store';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeCertificate } from '../support/docker-registry.js';
import { HttpProxy } from '../support/http-proxy.js';
import { hasProgram, isRoot, Scratch } from '../support/scratch.js';
import { ScriptedRegistry } from '../support/scripted-registry.js';
import { tarOf } from '../support/tar.js';

const cannot = !isRoot ? 'needs root' : hasProgram('openssl') ? undefined : 'openssl not installed';

describe.skipIf(cannot !== undefined)(`a registry behind a proxy${cannot === undefined ? '' : ` (${cannot})`}`, () => {
  let scratch: Scratch;
  let store: LayerStore;
  beforeEach(async () => {
    scratch = new Scratch('proxy');
    store = await LayerStore.open({ root: scratch.file('root') });
  });
  afterEach(async () => {
    await store.close();
    scratch[Symbol.dispose]();
  });

  const name = 'registry.layerstore.test';

  it('is reached with TLS through a tunnel, and the proxy gets its password', async () => {
    const tls = makeCertificate(scratch.file('certificate'), `DNS:${name}`);
    mkdirSync(scratch.file(`certs.d/${name}`), { recursive: true });
    copyFileSync(tls.authority, scratch.file(`certs.d/${name}/ca.crt`));
    await using registry = await ScriptedRegistry.start({ tls });
    const image = registry.addImage('1', [tarOf({ file: 'content' })]);
    await using proxy = await HttpProxy.start(registry.host);
    const options = {
      certificateDirectories: [scratch.file('certs.d')],
      proxies: { https: `http://user:secret@${proxy.host}` },
    };
    expect(await store.images.pull(`${name}/app:1`, { registry: options })).toMatchObject({ id: image.id });
    expect(new Set(proxy.requests)).toEqual(new Set([`CONNECT ${name}:443`]));
    expect(proxy.authorizations[0]).toBe(`Basic ${Buffer.from('user:secret').toString('base64')}`);
    expect(registry.requests.some(({ headers }) => headers['proxy-authorization'] !== undefined)).toBe(false);
  });

  it('is reached without TLS by whole URLs, where it was named as insecure', async () => {
    await using registry = await ScriptedRegistry.start();
    const image = registry.addImage('1', [tarOf({ file: 'content' })]);
    await using proxy = await HttpProxy.start(registry.host);
    const host = `${name}:5000`;
    const options = { insecureRegistries: [host], proxies: { http: proxy.host, https: proxy.host } };
    expect(await store.images.pull(`${host}/app:1`, { registry: options })).toMatchObject({ id: image.id });
    expect(proxy.requests).toContain(`GET http://${host}/v2/app/manifests/1`);
  });

  it('is not asked for hosts that are exempt', async () => {
    await using registry = await ScriptedRegistry.start();
    await using proxy = await HttpProxy.start(registry.host);
    const proxies = { http: proxy.host, https: proxy.host, noProxy: 'layerstore.test' };
    const pull = store.images.pull(`${name}:5000/app:1`, {
      registry: { insecureRegistries: [`${name}:5000`], proxies },
    });
    await expect(pull).rejects.toMatchObject({ code: 'ERR_REGISTRY_UNREACHABLE' });
    expect(proxy.requests).toEqual([]);
  });
});
