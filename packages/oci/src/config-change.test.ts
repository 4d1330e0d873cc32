import { describe, expect, test } from 'vitest';
import { changeExecution } from './config-change.js';
import { failure } from './testing/failure.js';

const base = { Env: ['PATH=/bin', 'HOME=/root'], Cmd: ['sh'], WorkingDir: '/srv' };

describe('a change of the config', () => {
  test.each([
    ['CMD ["a", "b c"]', { Cmd: ['a', 'b c'] }],
    ['cmd echo $HOME', { Cmd: ['/bin/sh', '-c', 'echo $HOME'] }],
    ['CMD [ -f /x ] && y', { Cmd: ['/bin/sh', '-c', '[ -f /x ] && y'] }],
    ['CMD', { Cmd: [] }],
    ['ENV A=b C="d e"', { Env: [...base.Env, 'A=b', 'C=d e'] }],
    ['ENV A the rest', { Env: [...base.Env, 'A=the rest'] }],
    ['ENV PATH=$PATH:/opt', { Env: ['HOME=/root', 'PATH=/bin:/opt'] }],
    ["ENV A='$HOME' B=\\$HOME C=${HOME}x D=$MISSING.", { Env: [...base.Env, 'A=$HOME', 'B=$HOME', 'C=/rootx', 'D=.'] }],
    ['LABEL a=b "c d"="e f"', { Labels: { a: 'b', 'c d': 'e f' } }],
    ['EXPOSE 80 53/udp', { ExposedPorts: { '80/tcp': {}, '53/udp': {} } }],
    ['VOLUME ["/a b"]', { Volumes: { '/a b': {} } }],
    ['VOLUME /a /b', { Volumes: { '/a': {}, '/b': {} } }],
    ['USER 1000:1000', { User: '1000:1000' }],
    ['WORKDIR app', { WorkingDir: '/srv/app' }],
    ['WORKDIR /', { WorkingDir: '/' }],
    ['STOPSIGNAL SIGINT', { StopSignal: 'SIGINT' }],
  ])('%s sets %j', (change, expected) => {
    expect(changeExecution(base, [change])).toEqual({ ...base, ...expected });
  });

  test('with an ENTRYPOINT alone drops the inherited CMD', () => {
    expect(changeExecution(base, ['ENTRYPOINT ["/e"]'])).toEqual({
      Env: base.Env,
      WorkingDir: '/srv',
      Entrypoint: ['/e'],
    });
    expect(changeExecution(base, ['CMD ["x"]', 'ENTRYPOINT ["/e"]'])).toMatchObject({ Cmd: ['x'], Entrypoint: ['/e'] });
  });

  test('leaves the config that it was given as it is', () => {
    const before = structuredClone(base);
    changeExecution(base, ['ENV A=b', 'WORKDIR /x', 'LABEL a=b']);
    expect(base).toEqual(before);
  });

  test.each([
    'RUN rm -rf /',
    'constructor x',
    '__proto__ x',
    '',
    'ENV',
    'ENV A=b C',
    'ENV =b',
    'ENV A="b',
    'ENV A=${B:-c}',
    'EXPOSE http',
    'USER a b',
    'WORKDIR',
  ])('%j is refused', async (change) => {
    expect(await failure(() => changeExecution(base, [change]))).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
  });
});
