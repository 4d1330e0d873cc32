import { digestOf } from '@layerstore/core';
import { describe, expect, test } from 'vitest';
import { checkLayersFit, configPlatform, parseImageConfig } from './config.js';
import { LAYER_LIMIT } from './manifest.js';
import { failure } from './testing/failure.js';
import { testImage } from './testing/images.js';

const diffId = digestOf('layer');
const rootfs = { type: 'layers', diff_ids: [diffId] };

const parse = (document: unknown): ReturnType<typeof parseImageConfig> =>
  parseImageConfig(Buffer.from(JSON.stringify(document)), 'config C');

describe('an image config', () => {
  test('is read with platform, settings, diff IDs and history', () => {
    const config = parseImageConfig(testImage('app', { layerCount: 2 }).config);
    expect(config).toMatchObject({
      created: '2024-01-31T12:00:00Z',
      config: { Env: ['PATH=/bin'], Cmd: ['/app'] },
      history: [{ created_by: 'step 0 of app' }, { created_by: 'step 1 of app' }],
    });
    expect(config.rootfs.diff_ids).toHaveLength(2);
    expect(configPlatform(config)).toEqual({ os: 'linux', architecture: 'amd64' });
  });

  test('takes null, as Docker writes it, for absent', () => {
    const nulls = { Env: null, Cmd: null, Entrypoint: null, Labels: null, Volumes: null, ExposedPorts: null };
    const config = parse({ os: null, created: null, author: null, config: nulls, rootfs, history: null });
    expect(config.config).toEqual(
      Object.fromEntries(Object.keys({ ...nulls, ...config.config }).map((name) => [name, undefined])),
    );
    expect(config.history).toBeUndefined();
    expect(parse({ rootfs: { type: 'layers', diff_ids: null } }).rootfs.diff_ids).toEqual([]);
  });

  test('without os is of Linux, without architecture of none that runs', () => {
    expect(configPlatform(parse({ rootfs }))).toEqual({ os: 'linux', architecture: 'unknown' });
    expect(configPlatform(parse({ rootfs, os: '', architecture: 'aarch64', variant: 'v8' }))).toEqual({
      os: 'linux',
      architecture: 'arm64',
    });
  });

  test('may have fewer history entries than layers', () => {
    expect(parse({ rootfs, history: [{ empty_layer: true }] }).history).toHaveLength(1);
  });

  test.each([
    ['rootfs', {}],
    ['rootfs.type', { rootfs: { type: 'snapshots', diff_ids: [] } }],
    ['rootfs.diff_ids', { rootfs: { type: 'layers', diff_ids: 'x' } }],
    ['rootfs.diff_ids.1', { rootfs: { type: 'layers', diff_ids: [diffId, 'sha256:/../x'] } }],
    ['architecture', { rootfs, architecture: 5 }],
    ['config', { rootfs, config: 'x' }],
    ['config.Env', { rootfs, config: { Env: 'A=b' } }],
    ['config.Cmd.0', { rootfs, config: { Cmd: [1] } }],
    ['config.Labels.a', { rootfs, config: { Labels: { a: null } } }],
    ['history.0.empty_layer', { rootfs, history: [{ empty_layer: 'no' }] }],
    ['history', { rootfs, history: [{}, {}] }],
    ['RootFS', { rootfs, RootFS: { type: 'layers', diff_ids: [] } }],
  ])('with a wrong %s is refused by the name of the field', async (field, document) => {
    const error = await failure(() => parse(document));
    expect(error.code).toBe('ERR_MALFORMED_IMAGE');
    expect(error.message).toContain(`config C: ${field}: `);
  });

  test('with more layers than the limit is refused', async () => {
    const diffIds = Array.from({ length: LAYER_LIMIT + 1 }, () => diffId);
    const error = await failure(() => parse({ rootfs: { type: 'layers', diff_ids: diffIds } }));
    expect(error.code).toBe('ERR_LIMIT_EXCEEDED');
  });

  test('is not polluted by a label named __proto__', () => {
    const bytes = Buffer.from(`{"rootfs":${JSON.stringify(rootfs)},"config":{"Labels":{"__proto__":"x","a":"b"}}}`);
    const labels = parseImageConfig(bytes).config?.Labels;
    expect(Object.getPrototypeOf(labels)).toBe(Object.prototype);
    expect(labels?.['a']).toBe('b');
  });

  test('must have as many diff IDs as the image has layers', async () => {
    checkLayersFit(parse({ rootfs }), 1, 'image I');
    for (const count of [0, 2]) {
      expect(await failure(() => checkLayersFit(parse({ rootfs }), count, 'image I'))).toMatchObject({
        code: 'ERR_MALFORMED_IMAGE',
        message: `image I: layers: ${count} listed, rootfs.diff_ids of the config has 1`,
      });
    }
  });
});
