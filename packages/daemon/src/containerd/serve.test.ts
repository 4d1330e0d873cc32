import { existsSync, lstatSync } from 'node:fs';
import grpc, { type Client } from '@grpc/grpc-js';
import { realTimeNs } from '@layerstore/linux';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isRoot, Scratch } from '../../../../test/support/scratch.js';
import { Kind, Snapshots, type Info } from '../grpc/generated/snapshots_pb.js';
import type { Mount } from '../grpc/generated/mount_pb.js';
import { serviceDefinition } from '../grpc/service-definition.js';
import { RequestIds } from '../observability/request-ids.js';
import { serverLogger } from '../observability/server-logger.js';
import { ServerMetrics } from '../observability/server-metrics.js';
import { startContainerdServer, type ContainerdServer, type ServeContainerdOptions } from './serve.js';

const { status } = grpc;
type Fields = Record<string, unknown>;

/** What a Go client gets: an answer, or a code with a text. */
class SnapshotsClient implements Disposable {
  private readonly client: Client & Record<string, unknown>;

  constructor(
    socket: string,
    private readonly snapshotter: string,
  ) {
    const Constructor = grpc.makeGenericClientConstructor(serviceDefinition(Snapshots), 'Snapshots');
    this.client = new Constructor(`unix:${socket}`, grpc.credentials.createInsecure(), {
      'grpc.max_receive_message_length': 16 << 20,
      'grpc.max_send_message_length': 16 << 20,
    });
  }

  call<Reply = Fields>(method: string, request: Fields = {}): Promise<Reply> {
    const unary = this.client[method] as (request: Fields, reply: (error: Error | null, value: Reply) => void) => void;
    return new Promise((resolve, reject) => {
      unary.call(this.client, { snapshotter: this.snapshotter, ...request }, (error, value) =>
        error === null ? resolve(value) : reject(error),
      );
    });
  }

  async mounts(method: string, request: Fields): Promise<Mount[]> {
    return (await this.call<{ mounts: Mount[] }>(method, request)).mounts;
  }

  async stat(key: string): Promise<Info> {
    return (await this.call<{ info: Info }>('Stat', { key })).info;
  }

  /** The blocks of a List as they arrived. */
  async list(...filters: string[]): Promise<Info[][]> {
    const stream = this.client['List'] as (request: Fields) => AsyncIterable<{ info: Info[] }>;
    const blocks: Info[][] = [];
    for await (const { info } of stream.call(this.client, { snapshotter: this.snapshotter, filters }))
      blocks.push(info);
    return blocks;
  }

  [Symbol.dispose](): void {
    this.client.close();
  }
}

describe.skipIf(!isRoot)('the snapshots service (needs root)', () => {
  let scratch: Scratch;
  let options: ServeContainerdOptions;
  let server: ContainerdServer;
  let client: SnapshotsClient;
  const log: string[] = [];
  const metrics = new ServerMetrics('containerd');

  beforeAll(async () => {
    scratch = new Scratch('service', '/dev/shm');
    const logger = serverLogger({
      server: 'containerd',
      level: 'debug',
      destination: { write: (line) => void log.push(line) },
    });
    options = {
      name: 'containerd',
      main: { root: scratch.file('root') },
      bySnapshotter: { copies: { root: scratch.file('copies'), driver: 'vfs' } },
      listen: { path: scratch.file('socket') },
      observation: { logger, metrics, requestIds: new RequestIds() },
    };
    server = await startContainerdServer(options);
    client = new SnapshotsClient(scratch.file('socket'), 'layerstore');
  });
  afterAll(async () => {
    client[Symbol.dispose]();
    await server[Symbol.asyncDispose]();
    scratch[Symbol.dispose]();
  });

  const commit = async (name: string, parent = ''): Promise<void> => {
    await client.call('Prepare', { key: `${name}-work`, parent });
    await client.call('Commit', { key: `${name}-work`, name });
  };

  it('answers with the codes and words that containerd looks for', async () => {
    await commit('base');
    await client.call('Prepare', { key: 'active', parent: 'base' });
    await client.call('View', { key: 'view', parent: 'base' });
    const outcomes: [string, Fields, number, RegExp][] = [
      ...['Stat', 'Usage', 'Mounts', 'Remove'].map((method): [string, Fields, number, RegExp] => [
        method,
        { key: 'nothing' },
        status.NOT_FOUND,
        /^snapshot "nothing": .*not found/,
      ]),
      ['Update', { info: { name: 'nothing' } }, status.NOT_FOUND, /not found/],
      ['Commit', { key: 'nothing', name: 'x' }, status.NOT_FOUND, /not found/],
      ['Prepare', { key: 'x', parent: 'nothing' }, status.NOT_FOUND, /not found/],
      ['View', { key: 'x', parent: 'nothing' }, status.NOT_FOUND, /not found/],
      ['Prepare', { key: 'x', parent: 'active' }, status.INVALID_ARGUMENT, /not a committed snapshot/],
      ['View', { key: 'x', parent: 'view' }, status.INVALID_ARGUMENT, /not a committed snapshot/],
      ['Prepare', { key: 'active', parent: 'base' }, status.ALREADY_EXISTS, /already exists/],
      ['View', { key: 'base' }, status.ALREADY_EXISTS, /already exists/],
      ['Prepare', { key: 'view' }, status.ALREADY_EXISTS, /already exists/],
      ['Commit', { key: 'active', name: 'base' }, status.ALREADY_EXISTS, /already exists/],
      ['Commit', { key: 'view', name: 'x' }, status.FAILED_PRECONDITION, /only an active snapshot is committed/],
      ['Commit', { key: 'base', name: 'x' }, status.FAILED_PRECONDITION, /only an active snapshot is committed/],
      ['Mounts', { key: 'base' }, status.FAILED_PRECONDITION, /not mounted/],
      ['Remove', { key: 'base' }, status.FAILED_PRECONDITION, /remove/],
      ['Update', { info: { name: 'active' }, updateMask: { paths: ['name'] } }, status.INVALID_ARGUMENT, /only labels/],
      ['Prepare', { key: '' }, status.INVALID_ARGUMENT, /empty/],
      ['Commit', { key: 'active', name: 'x', parent: 'other' }, status.UNIMPLEMENTED, /another parent/],
      [
        'Prepare',
        { key: 'x', labels: { 'containerd.io/snapshot/max-size': '1G' } },
        status.UNIMPLEMENTED,
        /cannot keep the limit: /,
      ],
    ];
    for (const [method, request, code, text] of outcomes) {
      const failure = client.call(method, request);
      await expect(failure, `${method} ${JSON.stringify(request)}`).rejects.toMatchObject({ code });
      await expect(failure).rejects.toMatchObject({ details: expect.stringMatching(text) as string });
    }
    await expect(client.list('name==')).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
    await client.call('Cleanup');
    // Nothing of all that was half made, and the active snapshot is usable still.
    await client.call('Commit', { key: 'active', name: 'used' });
    const names = (await client.list()).flat().map(({ name }) => name);
    expect(names).toEqual(['base', 'used', 'view']);
    for (const key of ['used', 'view', 'base']) await client.call('Remove', { key });
    expect(await client.list()).toEqual([]);
  });

  it('dates a snapshot by the clock that its client reads, to the nanosecond', async () => {
    const before = realTimeNs();
    await client.call('Prepare', { key: 'dated' });
    const after = realTimeNs();
    const { createdAt, updatedAt, kind, parent } = await client.stat('dated');
    const created = createdAt!.seconds * 1_000_000_000n + BigInt(createdAt!.nanos);
    expect(created).toBeGreaterThanOrEqual(before);
    expect(created).toBeLessThanOrEqual(after);
    expect(updatedAt).toEqual(createdAt);
    expect({ kind, parent }).toEqual({ kind: Kind.ACTIVE, parent: '' });
    await client.call('Remove', { key: 'dated' });
  });

  it('changes labels by mask, and nothing else', async () => {
    await client.call('Prepare', { key: 'labelled', labels: { a: '1', b: '2' } });
    const update = async (info: Fields, paths?: string[]): Promise<Record<string, string>> => {
      const request = {
        info: { name: 'labelled', ...info },
        ...(paths === undefined ? {} : { updateMask: { paths } }),
      };
      const reply = await client.call<{ info: Info }>('Update', request);
      expect((await client.stat('labelled')).labels).toEqual(reply.info.labels);
      return reply.info.labels;
    };
    expect(await update({ labels: { b: '3', 'c.d/e': '4' } }, ['labels.b', 'labels.c.d/e'])).toEqual({
      a: '1',
      b: '3',
      'c.d/e': '4',
    });
    expect(await update({ labels: {} }, ['labels.b'])).toEqual({ a: '1', 'c.d/e': '4' });
    expect(await update({ labels: { a: '' } }, ['labels.a'])).toEqual({ 'c.d/e': '4' });
    expect(await update({ labels: { only: 'x' }, parent: 'other', kind: Kind.VIEW })).toEqual({ only: 'x' });
    expect(await update({ labels: {} }, ['labels'])).toEqual({});
    expect((await client.stat('labelled')).kind).toBe(Kind.ACTIVE);
    await client.call('Remove', { key: 'labelled' });
  });

  it('streams a long list in blocks, answers others meanwhile, and takes messages of megabytes', async () => {
    const large = Object.fromEntries(Array.from({ length: 3000 }, (_, index) => [`label-${index}`, 'x'.repeat(4000)]));
    await client.call('Prepare', { key: 'large', labels: large });
    expect(Object.keys((await client.stat('large')).labels)).toHaveLength(3000);
    await Promise.all(Array.from({ length: 250 }, (_, index) => client.call('View', { key: `view-${index}` })));
    const [blocks] = await Promise.all([client.list('kind==view'), client.stat('view-3')]);
    expect(blocks.length).toBeGreaterThan(1);
    expect(new Set(blocks.flat().map(({ name }) => name)).size).toBe(250);
    expect((await client.list('labels."label-7"', 'name==view-1')).flat().map(({ name }) => name)).toEqual([
      'large',
      'view-1',
    ]);
    await Promise.all(Array.from({ length: 250 }, (_, index) => client.call('Remove', { key: `view-${index}` })));
    await client.call('Remove', { key: 'large' });
  });

  it('gives exactly one of many callers the key, and the same mounts to everyone who asks', async () => {
    const made = await Promise.allSettled(
      Array.from({ length: 16 }, () => client.mounts('Prepare', { key: 'wanted' })),
    );
    const [winner] = made.filter((result) => result.status === 'fulfilled');
    expect(made.filter((result) => result.status === 'rejected')).toHaveLength(15);
    expect(await client.mounts('Mounts', { key: 'wanted' })).toEqual(winner!.value);
    await client.call('Commit', { key: 'wanted', name: 'wanted-committed' });
    await expect(client.call('Mounts', { key: 'wanted' })).rejects.toMatchObject({ code: status.NOT_FOUND });
    await client.call('Remove', { key: 'wanted-committed' });
    await expect(client.stat('wanted-committed')).rejects.toMatchObject({ code: status.NOT_FOUND });
  });

  it('maps ids: options for containerd, and an upper root that the mapped root owns', async () => {
    await commit('below');
    const labels = {
      'containerd.io/snapshot/uidmapping': '0:100000:65536',
      'containerd.io/snapshot/gidmapping': '0:200000:65536',
    };
    const [mount] = await client.mounts('Prepare', { key: 'mapped', parent: 'below', labels });
    expect(mount?.options.slice(0, 2)).toEqual(['uidmap=0:100000:65536', 'gidmap=0:200000:65536']);
    const upper = mount!.options.find((option) => option.startsWith('upperdir='))!.slice('upperdir='.length);
    expect(lstatSync(upper)).toMatchObject({ uid: 100000, gid: 200000 });
    expect(await client.mounts('Mounts', { key: 'mapped' })).toEqual([mount]);
    using copies = new SnapshotsClient(scratch.file('socket'), 'copies');
    await expect(copies.call('Prepare', { key: 'mapped', labels })).rejects.toMatchObject({
      code: status.UNIMPLEMENTED,
    });
    for (const key of ['mapped', 'below']) await client.call('Remove', { key });
  });

  it('serves each snapshotter its own, from the root that is named for it', async () => {
    using copies = new SnapshotsClient(scratch.file('socket'), 'copies');
    using other = new SnapshotsClient(scratch.file('socket'), 'other');
    await copies.call('Prepare', { key: 'key' });
    await other.call('Prepare', { key: 'key' });
    expect((await copies.list()).flat()).toHaveLength(1);
    expect((await other.list()).flat()).toHaveLength(1);
    expect(await client.list()).toEqual([]);
    expect((await copies.mounts('Mounts', { key: 'key' }))[0]?.source).toContain(scratch.file('copies'));
    expect((await other.mounts('Mounts', { key: 'key' }))[0]?.source).toContain(scratch.file('root'));
    for (const one of [copies, other]) await one.call('Remove', { key: 'key' });
  });

  it('gives up a call that takes too long, and answers the next one', async () => {
    const path = scratch.file('slow-socket');
    const slow = { ...options, name: 'slow', listen: { path }, bySnapshotter: {}, timeouts: { prepare: 1 } };
    await using _hasty = await startContainerdServer({
      ...slow,
      observation: { ...options.observation, metrics: new ServerMetrics('slow') },
    });
    using impatient = new SnapshotsClient(path, 'layerstore');
    await expect(impatient.call('Prepare', { key: 'late' })).rejects.toMatchObject({ code: status.DEADLINE_EXCEEDED });
    await expect
      .poll(() =>
        impatient.stat('late').then(
          ({ kind }) => kind,
          () => 0,
        ),
      )
      .toBe(Kind.ACTIVE);
  });

  it('refuses a second server of the same name on a root, and a socket that another one has', async () => {
    const observation = { ...options.observation, metrics: new ServerMetrics('second') };
    const elsewhere = { ...options, observation, listen: { path: scratch.file('second') } };
    await expect(startContainerdServer(elsewhere)).rejects.toMatchObject({ code: 'ERR_BUSY' });
    const named = { ...options, observation, name: 'second', bySnapshotter: {} };
    await expect(startContainerdServer(named)).rejects.toMatchObject({ code: 'ERR_BUSY' });
    expect(existsSync(scratch.file('second'))).toBe(false);
    expect(await client.list()).toEqual([]);
  });

  it('counts calls by method and outcome, and logs each with an id', async () => {
    await expect(client.stat('nothing')).rejects.toThrow();
    const text = await metrics.registry.metrics();
    expect(text).toMatch(/layerstore_requests_total\{server="containerd",method="Prepare",outcome="ok"\} \d+/);
    expect(text).toMatch(
      /layerstore_requests_total\{server="containerd",method="Stat",outcome="ERR_SNAPSHOT_NOT_FOUND"\} \d+/,
    );
    expect(text).toMatch(/layerstore_containerd_deletions_due \d+/);
    const last = log.map((line) => JSON.parse(line) as Fields).findLast(({ msg }) => msg === 'refused');
    expect(last).toMatchObject({
      level: 'debug',
      method: 'Stat',
      key: 'nothing',
      error: { code: 'ERR_SNAPSHOT_NOT_FOUND' },
    });
    expect(log.join('')).not.toContain('x'.repeat(4000));
  });
});
