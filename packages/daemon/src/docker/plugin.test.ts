import { existsSync, mkdirSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { driverNames } from '@layerstore/drivers';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { DockerPlugin } from './serve.js';
import { namesIn, tarOf } from './testing/archives.js';
import { answerOf, refused, type PluginClient } from './testing/plugin-client.js';
import { ServedPlugin } from './testing/served-plugin.js';

const isRoot = process.getuid?.() === 0;

/** Every call that names a layer. */
const layerCalls = [
  'Create',
  'CreateReadWrite',
  'Remove',
  'Get',
  'Put',
  'Exists',
  'GetMetadata',
  'Diff',
  'Changes',
  'DiffSize',
];

// On a machine that does something else besides, everything takes several times as long.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 60_000 });

describe.skipIf(!isRoot).each(driverNames)('the Docker plugin, %s (needs root)', (driver) => {
  let served: ServedPlugin;
  let client: PluginClient;

  beforeAll(async () => {
    served = await ServedPlugin.initialised(driver);
    client = served.client;
  });
  afterEach(async () => {
    // Children first.
    for (const id of ['child', 'committed', 'upper', 'box', 'box-init', 'one', 'two', 'layer', 'snapshot', 'base']) {
      await client.call('Remove', { ID: id });
    }
    expect(await layerCount()).toBe('0');
    expect(served.mounts()).toEqual([]);
  });
  afterAll(async () => served[Symbol.asyncDispose]());

  const layerCount = async (): Promise<string | undefined> => {
    const { Status } = (await client.call('Status')) as { Status: [string, string][] };
    return new Map(Status).get('Layerstore Layers');
  };

  const makeBase = async (id = 'base', files: Record<string, string | Buffer> = { 'etc/name': 'base\n' }) => {
    await client.call('Create', { ID: id });
    expect(await client.applyDiff(id, tarOf(files))).toMatchObject({ status: 200 });
  };

  describe('the life of a layer', () => {
    it('is pulled, written, told apart, committed and removed', async () => {
      await makeBase();
      await client.call('CreateReadWrite', { ID: 'box-init', Parent: 'base', StorageOpt: {} });
      await client.call('CreateReadWrite', { ID: 'box', Parent: 'box-init' });
      await served.inView('box', (view) => writeFileSync(join(view, 'etc/new'), 'new\n'));
      expect(await client.call('Changes', { ID: 'box', Parent: 'box-init' })).toEqual({
        Changes: [
          { Path: '/etc', Kind: 0 },
          { Path: '/etc/new', Kind: 1 },
        ],
      });
      expect(await client.call('DiffSize', { ID: 'box', Parent: 'box-init' })).toEqual({ Size: 4 });
      const { body, complete } = await client.diff('box', 'box-init');
      expect(complete).toBe(true);
      expect(namesIn(body)).toEqual(['etc/', 'etc/new']);
      await client.call('Create', { ID: 'committed', Parent: 'base' });
      expect(JSON.parse((await client.applyDiff('committed', body, 'base')).body.toString())).toEqual({ Size: 4 });
      expect(await served.readFile('committed', 'etc/new')).toBe('new\n');
      expect(await served.readFile('committed', 'etc/name')).toBe('base\n');
      for (const id of ['committed', 'box', 'box-init', 'base']) {
        await client.call('Remove', { ID: id });
        expect(await client.call('Exists', { ID: id })).toEqual({ Exists: false });
      }
      await client.call('Remove', { ID: 'base' });
    });

    it('without a parent, a diff is the whole view', async () => {
      await makeBase();
      await client.call('Create', { ID: 'upper', Parent: 'base' });
      await served.inView('upper', (view) => writeFileSync(join(view, 'more'), ''));
      expect(namesIn((await client.diff('upper')).body).map((name) => name.replace(/^\.\//, ''))).toEqual(
        expect.arrayContaining(['etc/name', 'more']),
      );
    });

    it('is written through its view also when it was made by Create, as BuildKit does', async () => {
      await client.call('Create', { ID: 'snapshot' });
      await served.inView('snapshot', (view) => writeFileSync(join(view, 'written'), 'x'));
      await client.call('Create', { ID: 'child', Parent: 'snapshot' });
      expect(await served.readFile('child', 'written')).toBe('x');
    });

    it('keeps a view as long as somebody has it, and takes a surplus put', async () => {
      await makeBase();
      await client.call('CreateReadWrite', { ID: 'box', Parent: 'base' });
      const { Dir } = await client.call('Get', { ID: 'box' });
      expect(await client.call('Get', { ID: 'box' })).toEqual({ Dir });
      await client.call('Put', { ID: 'box' });
      expect(existsSync(join(Dir as string, 'etc/name'))).toBe(true);
      for (let surplus = 0; surplus < 3; surplus += 1) await client.call('Put', { ID: 'box' });
      expect(served.mounts()).toEqual([]);
    });

    it('is let go and removed also when a process of the host stands in its view', async () => {
      await makeBase();
      await client.call('CreateReadWrite', { ID: 'box', Parent: 'base' });
      const { Dir } = await client.call('Get', { ID: 'box' });
      const sleeper = spawn('sleep', ['1000'], { cwd: Dir as string, stdio: 'ignore' });
      await once(sleeper, 'spawn');
      await client.call('Put', { ID: 'box' });
      expect(served.mounts()).toEqual([]);
      await client.call('Remove', { ID: 'box' });
      expect(await client.call('Exists', { ID: 'box' })).toEqual({ Exists: false });
      sleeper.kill();
      await once(sleeper, 'exit');
    });

    it('is removed with its view', async () => {
      await makeBase();
      await client.call('CreateReadWrite', { ID: 'box', Parent: 'base' });
      await client.call('Get', { ID: 'box' });
      await client.call('Remove', { ID: 'box' });
      expect(served.mounts()).toEqual([]);
      expect(await client.call('Exists', { ID: 'box' })).toEqual({ Exists: false });
    });

    it('takes a storage option only for writable layers, and only one that is kept', async () => {
      const size = { StorageOpt: { size: '10G' } };
      expect(await client.refusal('Create', { ID: 'a', ...size })).toMatchObject({ status: 501 });
      expect(await client.refusal('CreateReadWrite', { ID: 'a', ...size })).toMatchObject({
        error: expect.stringContaining('quotas') as string,
      });
      expect(await client.call('Exists', { ID: 'a' })).toEqual({ Exists: false });
    });
  });

  describe('an exchange that broke and is repeated', () => {
    it.each(layerCalls)('%s without its body, or without an id, changes nothing', async (method) => {
      await makeBase();
      for (const body of ['', '{}', '{"ID":""}', '{"ID":null}', '[]', 'null', '{"ID":7}', '{']) {
        expect((await client.refusal(method, Buffer.from(body))).status).toBe(400);
      }
      expect(await served.readFile('base', 'etc/name')).toBe('base\n');
      expect(await layerCount()).toBe('1');
    });

    it('an archive without a byte is refused, and the layer still takes the whole', async () => {
      await client.call('Create', { ID: 'layer' });
      expect(refused(await client.applyDiff('layer', Buffer.alloc(0)))).toMatchObject({
        status: 400,
        error: expect.stringContaining('the archive has no byte') as string,
      });
      expect((await client.applyDiff('layer', tarOf({ file: 'whole' }))).status).toBe(200);
      expect(await served.readFile('layer', 'file')).toBe('whole');
    });

    it('the rest of an archive is refused, also where it begins with a member', async () => {
      const first = tarOf({ first: Buffer.alloc(100_000, 1) });
      const rest = tarOf({ second: 'second' });
      await client.call('Create', { ID: 'layer' });
      const outgoing = client.begin('GraphDriver.ApplyDiff?id=layer&parent=');
      outgoing.on('error', () => undefined);
      outgoing.write(first.subarray(0, first.length - 1024));
      await delay(100);
      outgoing.destroy();
      // The engine repeats what it has not sent yet, at once.
      expect(refused(await client.applyDiff('layer', rest)).status).toBe(404);
      expect(await client.call('Exists', { ID: 'layer' })).toEqual({ Exists: false });
    });

    it('a second archive is refused, and what the first has made stays', async () => {
      await makeBase();
      expect(refused(await client.applyDiff('base', tarOf({ other: 'other' }))).status).toBe(409);
      expect(refused(await client.applyDiff('base', Buffer.alloc(4096, 'x'))).status).toBe(409);
      expect(await served.inView('base', (view) => existsSync(join(view, 'other')))).toBe(false);
      expect(await served.readFile('base', 'etc/name')).toBe('base\n');
    });

    it('an archive that ends too early leaves no layer, however proper the exchange was', async () => {
      const tar = tarOf({ first: 'first', second: Buffer.alloc(100_000, 2) });
      await client.call('Create', { ID: 'layer' });
      const answer = await client.applyDiff('layer', tar.subarray(0, 50_000));
      expect(refused(answer)).toMatchObject({ status: 400 });
      expect(await client.call('Exists', { ID: 'layer' })).toEqual({ Exists: false });
    });

    it('making a layer twice makes one; with other content it is refused', async () => {
      await makeBase();
      await client.call('Create', { ID: 'layer', Parent: 'base' });
      await client.call('Create', { ID: 'layer', Parent: 'base' });
      await served.inView('layer', (view) => writeFileSync(join(view, 'written'), 'x'));
      expect((await client.refusal('Create', { ID: 'layer', Parent: 'base' })).status).toBe(409);
      expect(await served.readFile('layer', 'written')).toBe('x');
    });

    it('a view whose path did not arrive is not counted', async () => {
      await makeBase();
      await client.call('CreateReadWrite', { ID: 'box', Parent: 'base' });
      for (let round = 0; round < 5; round += 1) {
        const outgoing = client.begin('GraphDriver.Get', { 'content-length': 12 });
        outgoing.on('error', () => undefined);
        outgoing.end('{"ID":"box"}');
        await once(outgoing, 'finish');
        outgoing.destroy();
      }
      await delay(300);
      await client.call('Get', { ID: 'box' });
      await client.call('Put', { ID: 'box' });
      expect(served.mounts()).toEqual([]);
    });
  });

  describe('archives', () => {
    it('more commits at once than there are threads, each a diff that is piped into another layer, come to their end', async () => {
      await makeBase('base', { big: Buffer.alloc(300_000, 3) });
      const numbers = Array.from({ length: 24 }, (_, number) => number);
      for (const number of numbers) {
        await client.call('CreateReadWrite', { ID: `box${number}`, Parent: 'base' });
        await served.inView(`box${number}`, (view) =>
          writeFileSync(join(view, 'own'), Buffer.alloc(1_500_000, number)),
        );
      }
      await Promise.all(
        numbers.map(async (number) => {
          const diff = client.begin('GraphDriver.Diff');
          diff.end(JSON.stringify({ ID: `box${number}`, Parent: 'base' }));
          const [archive] = (await once(diff, 'response')) as [NodeJS.ReadableStream];
          await client.call('Create', { ID: `new${number}`, Parent: 'base' });
          const apply = client.begin(`GraphDriver.ApplyDiff?id=new${number}&parent=base`);
          archive.pipe(apply);
          expect((await answerOf(apply)).status).toBe(200);
        }),
      );
      for (const number of numbers) {
        const last = await served.inView(`new${number}`, (view) => statSync(join(view, 'own')).size);
        expect(last).toBe(1_500_000);
      }
      for (const number of numbers) {
        for (const id of [`new${number}`, `box${number}`]) await client.call('Remove', { ID: id });
      }
    });

    it('an error after the archive has begun breaks the connection', async () => {
      await client.call('Create', { ID: 'layer' });
      const file = await served.inView('layer', (view) => {
        writeFileSync(join(view, 'big'), '');
        truncateSync(join(view, 'big'), 200_000_000);
        return join(view, 'big');
      });
      const outgoing = client.begin('GraphDriver.Diff');
      outgoing.end('{"ID":"layer"}');
      const [response] = (await once(outgoing, 'response')) as [NodeJS.ReadableStream];
      await once(response, 'readable');
      truncateSync(file, 10_000_000);
      let size = 0;
      const reading = async (): Promise<void> => {
        for await (const chunk of response) size += (chunk as Buffer).length;
      };
      await expect(reading()).rejects.toThrow('aborted');
      expect(size).toBeLessThan(200_000_000);
    });

    it('an error before the archive has begun is an answer: also for an unknown layer', async () => {
      expect(await client.refusal('Diff', { ID: 'nobody' })).toMatchObject({
        status: 404,
        error: expect.stringContaining('nobody') as string,
      });
    });

    it('an engine that goes away in the middle leaves no thread behind', async () => {
      await makeBase('base', { big: Buffer.alloc(8_000_000, 5) });
      for (let round = 0; round < 12; round += 1) {
        const outgoing = client.begin('GraphDriver.Diff');
        outgoing.on('error', () => undefined);
        outgoing.end('{"ID":"base"}');
        const [response] = (await once(outgoing, 'response')) as [NodeJS.ReadableStream & { destroy(): void }];
        await once(response, 'readable');
        response.destroy();
      }
      expect((await client.diff('base')).body.length).toBeGreaterThan(8_000_000);
    });

    it('members that would leave the layer are refused, and the layer goes', async () => {
      await client.call('Create', { ID: 'layer' });
      const tar = tarOf({ 'aa/passwd': 'x' });
      tar.write('../passwd\0', 0, 'latin1');
      tar.write('        ', 148, 'latin1');
      const sum = tar.subarray(0, 512).reduce((total, byte) => total + byte, 0);
      tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
      expect(refused(await client.applyDiff('layer', tar)).status).toBe(400);
      expect(existsSync(join(served.home, 'passwd'))).toBe(false);
    });
  });

  describe('hostile input', () => {
    const names = [
      '../x',
      '.',
      '..',
      '/etc',
      'a/b',
      'a\0b',
      'a b',
      '.layerstore',
      'x'.repeat(129),
      'ü',
      '-'.repeat(200),
      'a\n',
    ];

    it.each(names)('the id %j reaches no path', async (id) => {
      for (const method of layerCalls) expect((await client.refusal(method, { ID: id })).status).toBe(400);
      expect((await client.refusal('Create', { ID: 'ok', Parent: id })).status).toBe(400);
      expect(await client.call('Exists', { ID: 'ok' })).toEqual({ Exists: false });
    });

    it.each(['../x', 'a/b', 'a%2fb', ''])('nor does %j as the id of an archive', async (id) => {
      const { status } = await client.applyDiff(id, tarOf({ file: 'x' }));
      expect(status).toBe(400);
    });

    it('an id that comes twice is refused', async () => {
      const { status } = await client.post('GraphDriver.ApplyDiff?id=a&id=b&parent=', tarOf({ file: 'x' }), 'chunked');
      expect(status).toBe(400);
    });

    it('a body beyond any that engines send is refused, and the connection goes on', async () => {
      const answer = await client.post('GraphDriver.Create', Buffer.alloc(3_000_000, ' '));
      expect(answer.status).toBe(413);
      expect(await client.call('Exists', { ID: 'x' })).toEqual({ Exists: false });
    });

    it('paths that are no calls are 404, and only POST is taken', async () => {
      for (const path of [
        'GraphDriver.Nothing',
        'GraphDriver.constructor',
        'GraphDriver.__proto__',
        'VolumeDriver.Get',
        '',
      ]) {
        expect((await client.post(path, Buffer.from('{}'))).status).toBe(404);
      }
    });
  });

  describe('homes', () => {
    it('serves one home only, which Init may name again', async () => {
      const other = await client.refusal('Init', { Home: join(served.directory, 'other') });
      expect(other).toMatchObject({ status: 409, error: expect.stringContaining('it serves one home only') as string });
      expect(existsSync(join(served.directory, 'other'))).toBe(false);
      await client.call('Init', { Home: served.home, Opts: [], UIDMaps: null });
    });

    it('starts with the home that it had, and takes up the views that are mounted', async () => {
      await makeBase();
      await client.call('CreateReadWrite', { ID: 'box', Parent: 'base' });
      const { Dir } = await client.call('Get', { ID: 'box' });
      await served.stop();
      await served.serve();
      // One more user comes and goes: the first is still there.
      await served.readFile('box', 'etc/name');
      expect(existsSync(join(Dir as string, 'etc/name'))).toBe(true);
      await client.call('Put', { ID: 'box' });
      expect(served.mounts()).toEqual([]);
    });

    it('a layer that was made before a restart takes no archive after it, whose beginning may be lost', async () => {
      await client.call('Create', { ID: 'layer' });
      await served.stop();
      await served.serve();
      expect(refused(await client.applyDiff('layer', tarOf({ file: 'x' })))).toMatchObject({
        status: 409,
        error: expect.stringContaining('may lack its beginning') as string,
      });
    });

    it('a new engine on the same home counts views anew', async () => {
      await makeBase();
      await client.call('CreateReadWrite', { ID: 'box', Parent: 'base' });
      for (let user = 0; user < 3; user += 1) await client.call('Get', { ID: 'box' });
      await client.call('Init', { Home: served.home });
      await client.call('Put', { ID: 'box' });
      expect(served.mounts()).toEqual([]);
    });

    it('is cleaned up: nothing stays mounted', async () => {
      await makeBase();
      for (const id of ['one', 'two']) {
        await client.call('CreateReadWrite', { ID: id, Parent: 'base' });
        await client.call('Get', { ID: id });
      }
      await client.call('Cleanup');
      expect(served.mounts()).toEqual([]);
      expect(await served.readFile('one', 'etc/name')).toBe('base\n');
    });

    it('options that the driver does not know are refused by Init, and Init may come again', async () => {
      await using fresh = await ServedPlugin.start(driver);
      const bad = { Home: fresh.home, Opts: [`${driver}.unknown=1`] };
      expect((await fresh.client.refusal('Init', bad)).status).toBe(400);
      expect((await fresh.client.refusal('Init', { Home: fresh.home, Opts: ['nonsense'] })).status).toBe(400);
      expect((await fresh.client.refusal('Create', { ID: 'a' })).status).toBe(409);
      await fresh.client.call('Init', { Home: fresh.home });
      await fresh.client.call('Create', { ID: 'a' });
    });

    it('no directory that holds other things becomes a home', async () => {
      await using fresh = await ServedPlugin.start(driver);
      mkdirSync(join(fresh.directory, 'etc'));
      writeFileSync(join(fresh.directory, 'etc', 'passwd'), '');
      for (const home of ['/', join(fresh.directory, 'etc'), 'relative', '/proc/self']) {
        expect((await fresh.client.refusal('Init', { Home: home })).status).toBeGreaterThanOrEqual(400);
      }
      await fresh.client.call('Init', { Home: fresh.home });
    });

    it('a second plugin is refused on the same socket, and on the same home', async () => {
      await expect(DockerPlugin.start(served.options())).rejects.toThrow('another layerstore serves this socket');
      await using second = await ServedPlugin.start(driver);
      expect((await second.client.refusal('Init', { Home: served.home })).error).toContain(
        'another layerstore serves this home',
      );
    });

    it('another driver is refused on the same socket', async () => {
      await served.stop();
      const other = driver === 'vfs' ? 'overlay2' : 'vfs';
      await expect(DockerPlugin.start({ ...served.options(), driver: other })).rejects.toMatchObject({
        code: 'ERR_DRIVER_MISMATCH',
      });
      await served.serve();
    });
  });

  describe('connections', () => {
    it('answers what engines ask first, without a body', async () => {
      const { status, body } = await client.post('Plugin.Activate', Buffer.alloc(0));
      expect({ status, reply: JSON.parse(body.toString()) as unknown }).toEqual({
        status: 200,
        reply: { Implements: ['GraphDriver'] },
      });
      expect(await client.call('Capabilities')).toEqual({ Capabilities: { ReproducesExactDiffs: false } });
    });

    it('are not ended when they are idle for longer than servers usually wait', async () => {
      const socket = await client.connect();
      const ask = async (): Promise<string> => {
        socket.write('POST /GraphDriver.Exists HTTP/1.1\r\nHost: \r\nContent-Length: 10\r\n\r\n{"ID":"x"}');
        const [data] = (await once(socket, 'data')) as [Buffer];
        return data.toString();
      };
      expect(await ask()).toContain('HTTP/1.1 200 OK');
      await delay(7_000);
      expect(await ask()).toContain('"Exists":false');
      socket.destroy();
    });

    it('end after what runs: a half-sent archive may be finished while the plugin ends', async () => {
      const tar = tarOf({ file: Buffer.alloc(1_000_000, 9) });
      await client.call('Create', { ID: 'layer' });
      const outgoing = client.begin('GraphDriver.ApplyDiff?id=layer&parent=');
      outgoing.write(tar.subarray(0, 300_000));
      await delay(100);
      const stopped = served.stop();
      await delay(200);
      await expect(client.connect()).rejects.toMatchObject({ code: 'ENOENT' });
      outgoing.end(tar.subarray(300_000));
      expect((await answerOf(outgoing)).status).toBe(200);
      await stopped;
      await served.serve();
      expect(await served.inView('layer', (view) => statSync(join(view, 'file')).size)).toBe(1_000_000);
    });

    it('are for root only', () => {
      expect(statSync(client.socket).mode & 0o777).toBe(0o600);
    });
  });

  it('logs a line for each request, with an id', async () => {
    await client.refusal('Get', { ID: 'nobody' });
    const line = served.logged.filter((record) => record['method'] === 'Get').at(-1);
    expect(line).toMatchObject({ level: 'debug', id: 'nobody', error: { code: 'ERR_LAYER_NOT_FOUND' } });
    expect(line?.['request']).toMatch(/^[0-9a-f]{8}-\d+$/);
  });
});
