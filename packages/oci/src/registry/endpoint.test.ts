import { describe, expect, it } from 'vitest';
import { failure } from '../testing/failure.js';
import { covers, endpointOf } from './endpoint.js';

describe('the endpoint of a registry', () => {
  it.each([
    ['docker.io', [], 'registry-1.docker.io', false],
    ['registry.example', [], 'registry.example', false],
    ['127.0.0.1:5000', [], '127.0.0.1:5000', true],
    ['127.1.2.3', [], '127.1.2.3', true],
    ['[::1]:5000', [], '[::1]:5000', true],
    ['localhost:5000', [], 'localhost:5000', true],
    ['registry.example:5000', ['registry.example:5000'], 'registry.example:5000', true],
    ['registry.example:5000', ['registry.example'], 'registry.example:5000', true],
    ['registry.example', ['registry.example:5000'], 'registry.example', false],
    ['10.1.2.3:5000', ['10.0.0.0/8'], '10.1.2.3:5000', true],
    ['11.1.2.3:5000', ['10.0.0.0/8'], '11.1.2.3:5000', false],
  ])('%s with insecure %j is %s, insecure: %s', async (domain, insecureRegistries, host, insecure) => {
    expect(await endpointOf(domain, 'a', { insecureRegistries })).toEqual({ domain, host, insecure });
  });

  it.each(['http://registry.example', '', '10.0.0.0/40', 'registry.example/a'])(
    '%j is no insecure registry',
    async (entry) => {
      expect((await failure(() => endpointOf('r.example', 'a', { insecureRegistries: [entry] }))).code).toBe(
        'ERR_INVALID_ARGUMENT',
      );
    },
  );

  it('of a blocked registry is refused', async () => {
    const blockedRegistries = ['blocked.example', 'some.example/team'];
    for (const [domain, path] of [
      ['blocked.example', 'a'],
      ['some.example', 'team/a'],
    ] as const) {
      expect((await failure(() => endpointOf(domain, path, { blockedRegistries }))).code).toBe('ERR_REGISTRY_DENIED');
    }
    expect(await endpointOf('some.example', 'teams/a', { blockedRegistries })).toMatchObject({ host: 'some.example' });
    expect(covers('*.example', 'a.example:5000', 'x')).toBe(true);
    expect(covers('*.example', 'example', 'x')).toBe(false);
  });
});
