import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { failure } from '../testing/failure.js';
import { Temporary } from '../testing/temporary.js';
import { credentialFiles } from './credential-files.js';

const auth = (user: string, password: string) => ({ auth: Buffer.from(`${user}:${password}`).toString('base64') });
const known = (user: string, password: string) => ({ kind: 'password', user, password });

describe('files of credentials', () => {
  let temporary: Temporary;
  beforeEach(() => {
    temporary = new Temporary();
  });
  afterEach(() => temporary[Symbol.dispose]());

  const find = (auths: object, domain: string, path = 'team/app') =>
    credentialFiles({ files: [temporary.write('auth.json', JSON.stringify({ auths }))] }).find(domain, path);

  it.each([
    ['docker.io', 'https://index.docker.io/v1/'],
    ['docker.io', 'docker.io'],
    ['registry.example:5000', 'registry.example:5000'],
    ['registry.example:5000', 'https://registry.example:5000'],
    ['registry.example:5000', 'http://registry.example:5000/v1/'],
    ['registry.example:5000', 'registry.example:5000/team'],
    ['registry.example:5000', 'registry.example:5000/team/app'],
  ])('those of %s are found under %s', async (domain, key) => {
    expect(await find({ [key]: auth('ada', 'a:b') }, domain)).toEqual(known('ada', 'a:b'));
  });

  it.each(['registry.example', 'registry.example:5001', 'xregistry.example:5000', 'registry.example:5000/team/other'])(
    'those of %s are not taken for registry.example:5000/team/app',
    async (key) => {
      expect(await find({ [key]: auth('ada', 'x') }, 'registry.example:5000')).toBeUndefined();
    },
  );

  it('the most specific ones come first, and the first file that knows any', async () => {
    const auths = {
      'r.example/team': auth('team', 'x'),
      'r.example/team/app': auth('app', 'x'),
      'r.example': auth('host', 'x'),
    };
    expect(await find(auths, 'r.example')).toMatchObject({ user: 'app' });
    expect(await find(auths, 'r.example', 'team/other')).toMatchObject({ user: 'team' });
    expect(await find(auths, 'r.example', 'other')).toMatchObject({ user: 'host' });
    const files = [
      temporary.join('missing'),
      temporary.write('empty', ''),
      temporary.write('one', '{"auths":null}'),
      temporary.write('two', JSON.stringify({ auths })),
    ];
    expect(await credentialFiles({ files }).find('r.example', 'other')).toMatchObject({ user: 'host' });
  });

  it('tokens go before passwords', async () => {
    expect(await find({ 'r.example': { ...auth('a', 'b'), identitytoken: 'i' } }, 'r.example')).toEqual({
      kind: 'identity-token',
      token: 'i',
    });
    expect(await find({ 'r.example': { identitytoken: 'i', registrytoken: 'r' } }, 'r.example')).toEqual({
      kind: 'bearer-token',
      token: 'r',
    });
  });

  it('a damaged file is an error that shows nothing of it', async () => {
    const files = [temporary.write('damaged', '{"auths": {"x": {"password": "secret"')];
    const error = await failure(() => credentialFiles({ files }).find('r.example', 'a'));
    expect(error.code).toBe('ERR_REGISTRY_DENIED');
    expect(JSON.stringify([error.message, error.cause])).not.toContain('secret');
  });

  it('a helper whose name is a path is not run', async () => {
    const files = [temporary.write('helper', JSON.stringify({ credHelpers: { 'r.example': '../../bin/sh' } }))];
    const error = await failure(() => credentialFiles({ files, helperEnvironment: {} }).find('r.example', 'a'));
    expect(error.message).toContain('not the name of a credential helper');
  });
});
