import { describe, expect, test } from 'vitest';
import {
  bestForPlatform,
  formatPlatform,
  hostPlatform,
  normalisePlatform,
  parsePlatform,
  runnablePlatforms,
} from './platform.js';
import { failure } from './testing/failure.js';

const host = { os: 'linux', architecture: 'amd64' };

describe('a platform', () => {
  test.each([
    ['linux/amd64', 'linux/amd64'],
    ['linux/arm64/v8', 'linux/arm64'],
    ['linux/arm', 'linux/arm/v7'],
    ['linux/arm/6', 'linux/arm/v6'],
    ['linux/armhf', 'linux/arm/v7'],
    ['linux/aarch64', 'linux/arm64'],
    ['Linux/X86_64', 'linux/amd64'],
    ['linux/amd64/v1', 'linux/amd64'],
    ['linux/amd64/v3', 'linux/amd64/v3'],
    ['windows/amd64', 'windows/amd64'],
    ['arm64', 'linux/arm64'],
    ['windows', 'windows/amd64'],
  ])('%s is understood as %s', (text, normal) => {
    expect(formatPlatform(parsePlatform(text, host))).toBe(normal);
  });

  test.each(['', 'linux/', '/amd64', 'linux/arm/v7/x', 'linux/arm 64', 'a\0b', 'linux//v8'])(
    '%j is refused',
    async (text) => {
      expect(await failure(() => parsePlatform(text, host))).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    },
  );

  test.each([
    ['x64', 'LE', 'linux/amd64'],
    ['arm64', 'LE', 'linux/arm64'],
    ['arm', 'LE', 'linux/arm/v7'],
    ['ia32', 'LE', 'linux/386'],
    ['ppc64', 'LE', 'linux/ppc64le'],
    ['ppc64', 'BE', 'linux/ppc64'],
    ['s390x', 'BE', 'linux/s390x'],
    ['riscv64', 'LE', 'linux/riscv64'],
  ] as const)('of a host with process.arch %s (%s) is %s', (architecture, order, expected) => {
    expect(formatPlatform(hostPlatform(architecture, order))).toBe(expected);
  });

  test.each([
    ['linux/amd64', ['linux/amd64', 'linux/386']],
    ['linux/amd64/v3', ['linux/amd64/v3', 'linux/amd64/v2', 'linux/amd64', 'linux/386']],
    ['linux/arm/v7', ['linux/arm/v7', 'linux/arm/v6', 'linux/arm/v5']],
    ['linux/arm/v5', ['linux/arm/v5']],
    ['linux/arm64', ['linux/arm64', 'linux/arm/v8', 'linux/arm/v7', 'linux/arm/v6', 'linux/arm/v5']],
    ['linux/riscv64', ['linux/riscv64']],
  ])('%s runs, best first, %j', (text, expected) => {
    expect(runnablePlatforms(parsePlatform(text, host)).map(formatPlatform)).toEqual(expected);
  });

  test('is chosen by the best fit, not by the order of the index', () => {
    const candidates = ['linux/arm/v5', 'linux/arm/v6', 'windows/arm/v7', 'linux/amd64'].map((text) => ({
      platform: parsePlatform(text, host),
    }));
    const best = bestForPlatform(candidates, parsePlatform('linux/arm/v7', host));
    expect(best.map((one) => formatPlatform(one.platform))).toEqual(['linux/arm/v6']);
    expect(bestForPlatform(candidates, parsePlatform('linux/s390x', host))).toEqual([]);
  });

  test('has no field for what was not stated', () => {
    expect(normalisePlatform({ os: 'linux', architecture: 'amd64', variant: '', osVersion: '' })).toEqual(host);
  });
});
