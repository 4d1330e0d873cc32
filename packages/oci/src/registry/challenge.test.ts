import { describe, expect, it } from 'vitest';
import { parseChallenges } from './challenge.js';

const read = (header: string | undefined) =>
  parseChallenges(header).map(({ scheme, parameters }) => ({ scheme, ...Object.fromEntries(parameters) }));

describe('a WWW-Authenticate header', () => {
  it.each([
    [
      'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"',
      [
        {
          scheme: 'bearer',
          realm: 'https://auth.docker.io/token',
          service: 'registry.docker.io',
          scope: 'repository:a/b:pull,push',
        },
      ],
    ],
    ['Basic realm="a \\"quoted\\" realm"', [{ scheme: 'basic', realm: 'a "quoted" realm' }]],
    ['BASIC realm=plain', [{ scheme: 'basic', realm: 'plain' }]],
    [
      'Negotiate, Basic realm="x", Bearer realm="y" , service=z',
      [{ scheme: 'negotiate' }, { scheme: 'basic', realm: 'x' }, { scheme: 'bearer', realm: 'y', service: 'z' }],
    ],
    ['', []],
    [undefined, []],
    ['"nonsense', []],
  ])('%j', (header, expected) => {
    expect(read(header)).toEqual(expected);
  });

  it('of any length is read quickly', () => {
    expect(read(`Bearer ${'a="'.repeat(100_000)}`).length).toBeLessThan(5000);
    expect(read(`Basic ${'\\"'.repeat(100_000)}`).length).toBeLessThan(5000);
  });
});
