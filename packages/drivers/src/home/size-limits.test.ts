/** Limits by recorded calls: the kernels that layerstore is built on have no project quotas. */
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { parseLayerId } from '@layerstore/core';
import { diskQuota, Mounter, SystemError, type ProjectQuotaCalls } from '@layerstore/linux';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { OtherLowers } from '../overlay2/other-lowers.js';
import { Overlay2Driver } from '../overlay2/overlay2-driver.js';
import { VfsDriver } from '../vfs/vfs-driver.js';
import { Home } from './home.js';
import { parseSize } from './project-quotas.js';
import { SizeLimits } from './size-limits.js';

const isRoot = process.geteuid?.() === 0;
const [base, box, other] = ['base', 'box', 'other'].map(parseLayerId) as [never, never, never];

/** A kernel with project quotas, which keeps what it is told. */
class RecordedQuotas implements ProjectQuotaCalls {
  readonly calls: string[] = [];
  readonly #projects = new Map<string, number>();

  constructor(
    private readonly home: string,
    private readonly state: 'enforced' | 'off' | 'absent' = 'enforced',
  ) {}

  isEnforced(device: string): boolean {
    this.calls.push(`state of ${relative(this.home, device)}`);
    if (this.state === 'absent') throw new SystemError('ENOSYS', -38, 'quotactl', device);
    return this.state === 'enforced';
  }
  setLimit(device: string, project: number, bytes: number): void {
    this.calls.push(`limit of project ${project} on ${relative(this.home, device)}: ${bytes}`);
  }
  projectOf(directory: string): number {
    return this.#projects.get(this.#name(directory)) ?? 0;
  }
  setProject(directory: string, project: number): void {
    this.calls.push(`project of an empty directory in staging: ${project}`);
    expect(relative(this.home, directory)).toMatch(/^\.layerstore\/staging\/[^/]+\/layer$/);
    // The layer that will be renamed to its name is the one that is being made.
    this.#projects.set(`made ${this.#projects.size}`, project);
  }
  #name(directory: string): string {
    return directory.endsWith(base) || directory === this.home ? directory : `made ${this.#projects.size - 1}`;
  }
}

describe.skipIf(!isRoot)('sizes of writable layers (need root)', () => {
  let directory: string;
  beforeEach(() => {
    directory = realpathSync(mkdtempSync(join(tmpdir(), 'layerstore-sizes-')));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const openHome = (): Home => Home.open(join(directory, 'home'), { mounter: new Mounter() });
  const onXfs = ({ path, state }: Home) => ({ path, state, readOnly: false, backingFileSystem: 'xfs' });
  const options = (driver: string, storageOptions?: Record<string, string>) => ({
    driver,
    keys: [`${driver}.size`],
    storageOptions,
  });

  test('overlay2 makes every writable layer a project of its own, with its limit', async () => {
    const home = openHome();
    home.makeSubdirectory('l', 0o700);
    const quotas = new RecordedQuotas(home.path);
    const sizeLimits = SizeLimits.open(onXfs(home), home.path, options('overlay2', { 'overlay2.size': '1g' }), quotas);
    const driver = new Overlay2Driver({
      home,
      mountOptions: [],
      sizeLimits,
      otherLowers: OtherLowers.in(home, { mounter: new Mounter() }),
    });
    expect(driver.abilities.quota).toBe(true);
    await driver.create(base);
    await driver.createReadWrite(box, { parent: base, storageOptions: { size: '50M' } });
    await driver.createReadWrite(other, { parent: base });
    expect(quotas.calls).toEqual([
      'state of backingFsBlockDev',
      'project of an empty directory in staging: 1',
      `limit of project 1 on backingFsBlockDev: ${50 * 1024 ** 2}`,
      'project of an empty directory in staging: 2',
      `limit of project 2 on backingFsBlockDev: ${1024 ** 3}`,
    ]);
    expect((await driver.list()).sort()).toEqual([base, box, other]);
  });

  test('vfs limits the tree before anything is copied into it', async () => {
    const home = openHome();
    home.makeSubdirectory('dir', 0o710);
    const quotas = new RecordedQuotas(home.path);
    const layers = join(home.path, 'dir');
    const sizeLimits = SizeLimits.open(onXfs(home), layers, options('vfs'), quotas);
    const driver = new VfsDriver({ home, sizeLimits, labels: 'ignored' });
    await driver.create(base);
    mkdirSync(join(layers, base, 'content'));
    await driver.createReadWrite(box, { parent: base, storageOptions: { size: '4096' } });
    expect(quotas.calls.at(-1)).toBe('limit of project 1 on backingFsBlockDev: 4096');
    expect(existsSync(join(layers, box, 'content'))).toBe(true);
  });

  test.each([
    ['off', 'was mounted without prjquota'],
    ['absent', 'the kernel has no project quotas'],
  ] as const)('are refused with the reason where quotas are %s', (state, reason) => {
    const home = openHome();
    const refused = expect.objectContaining({
      code: 'ERR_NOT_SUPPORTED',
      message: expect.stringContaining(reason) as string,
    }) as Error;
    const quotas = new RecordedQuotas(home.path, state);
    const asked = options('overlay2', { 'overlay2.size': '1G' });
    expect(() => SizeLimits.open(onXfs(home), home.path, asked, quotas)).toThrow(refused);
    const limits = SizeLimits.open(onXfs(home), home.path, options('overlay2'), quotas);
    expect(limits.areEnforced).toBe(false);
    expect(limits.forLayer(undefined)).toBeUndefined();
    expect(() => limits.forLayer({ size: '1G' })).toThrow(refused);
  });
});

describe('a size', () => {
  test.each([
    ['512', 512],
    ['10k', 10_240],
    ['1.5 MiB', 1_572_864],
    ['20GB', 20 * 1024 ** 3],
  ])('%s is %i bytes', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  test.each(['', '0', '-1', '1X', 'G', '1e9', '99999999P', '1 2'])('is not %j', (text) => {
    expect(() => parseSize(text)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }));
  });

  test('is told to the kernel as blocks of 512, hard and soft, of a project', () => {
    const record = diskQuota(7, 1_000_000);
    expect([record[0], record[1], record.readUInt16LE(2), record.readUInt32LE(4)]).toEqual([1, 2, 12, 7]);
    expect([record.readBigUInt64LE(8), record.readBigUInt64LE(16)]).toEqual([1953n, 1953n]);
    expect(record.subarray(24).every((byte) => byte === 0)).toBe(true);
  });
});
