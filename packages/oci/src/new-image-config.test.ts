import { digestOf } from '@layerstore/core';
import { describe, expect, test } from 'vitest';
import { parseImageConfig } from './config.js';
import { newImageConfig } from './new-image-config.js';
import { failure } from './testing/failure.js';

const one = digestOf('one');
const two = digestOf('two');
const created = '2024-06-01T00:00:00.123456789Z';

describe('a new image config', () => {
  test('from scratch has all that the specification asks for, and the same bytes each time', () => {
    const options = {
      diffId: one,
      created,
      createdBy: 'import',
      platform: { os: 'linux', architecture: 'arm', variant: 'v6' },
    };
    const bytes = newImageConfig(undefined, options);
    expect(JSON.parse(bytes.toString())).toEqual({
      created,
      architecture: 'arm',
      os: 'linux',
      variant: 'v6',
      config: {},
      rootfs: { type: 'layers', diff_ids: [one] },
      history: [{ created, created_by: 'import' }],
    });
    expect(newImageConfig(undefined, options)).toEqual(bytes);
  });

  test('on a base adds a layer and a history entry and keeps every other byte of it', () => {
    const base =
      `{"docker_version":"20.10", "architecture":"amd64","config":{"Hostname":"h","Memory":9223372036854775807,"Env":["A=1.0"]},` +
      `"x-unknown": [1.50, {"\\u0041":null}],"created":"2020-01-01T00:00:00Z","os":"linux",` +
      `"rootfs":{"type":"layers","diff_ids":["${one}"],"x":1e3},"history":[{"created_by":"a","x-y":2.0}]}`;
    const next = newImageConfig(Buffer.from(base), {
      diffId: two,
      created,
      author: 'me',
      comment: 'c',
      changes: ['USER u'],
    });
    expect(next.toString()).toBe(
      `{"docker_version":"20.10","architecture":"amd64","config":{"Hostname":"h","Memory":9223372036854775807,"Env":["A=1.0"],"User":"u"},` +
        `"x-unknown":[1.50, {"\\u0041":null}],"created":"${created}","os":"linux",` +
        `"rootfs":{"type":"layers","diff_ids":["${one}","${two}"],"x":1e3},` +
        `"history":[{"created_by":"a","x-y":2.0},{"created":"${created}","author":"me","comment":"c"}],"author":"me"}`,
    );
  });

  test('without a layer records the step as one that made none', () => {
    const base = newImageConfig(undefined, { diffId: one, created });
    const next = parseImageConfig(newImageConfig(base, { created, createdBy: 'CMD', changes: ['CMD ["x"]'] }));
    expect(next.rootfs.diff_ids).toEqual([one]);
    expect(next.history?.at(-1)).toMatchObject({ created_by: 'CMD', empty_layer: true });
    expect(next.config?.Cmd).toEqual(['x']);
  });

  test('on a base with too short a history keeps layers and entries in step', () => {
    const base = Buffer.from(
      JSON.stringify({ config: null, history: null, rootfs: { type: 'layers', diff_ids: [one] } }),
    );
    const next = parseImageConfig(newImageConfig(base, { diffId: two, created, createdBy: 'top' }));
    expect(next.history?.map((entry) => entry.created_by)).toEqual([undefined, 'top']);
  });

  test.each(['yesterday', '2024-01-01', '2024-13-01T00:00:00Z', '2024-01-01T00:00:00', ''])(
    'refuses %j for a time',
    async (time) => {
      expect(await failure(() => newImageConfig(undefined, { created: time }))).toMatchObject({
        code: 'ERR_INVALID_ARGUMENT',
      });
    },
  );

  test('refuses a base that is no config', async () => {
    expect(await failure(() => newImageConfig(Buffer.from('[]'), { created }))).toMatchObject({
      code: 'ERR_MALFORMED_IMAGE',
    });
  });
});
