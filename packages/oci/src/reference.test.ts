import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalName, familiarName, normaliseReference, parseReference, withDefaultTag } from './reference.js';
import { failure } from './testing/failure.js';

const digest = `sha256:${'ab'.repeat(32)}`;

describe('a reference', () => {
  test.each([
    ['debian', 'docker.io/library/debian:latest', 'debian:latest'],
    ['debian:12', 'docker.io/library/debian:12', 'debian:12'],
    ['library/debian', 'docker.io/library/debian:latest', 'debian:latest'],
    ['docker.io/debian', 'docker.io/library/debian:latest', 'debian:latest'],
    ['index.docker.io/library/debian', 'docker.io/library/debian:latest', 'debian:latest'],
    ['someone/app', 'docker.io/someone/app:latest', 'someone/app:latest'],
    ['localhost/tiny:1', 'localhost/tiny:1', 'localhost/tiny:1'],
    ['localhost:5000/tiny', 'localhost:5000/tiny:latest', 'localhost:5000/tiny:latest'],
    ['quay.io/a/b/c:v1.0_x-y', 'quay.io/a/b/c:v1.0_x-y', 'quay.io/a/b/c:v1.0_x-y'],
    ['registry:5000/app', 'registry:5000/app:latest', 'registry:5000/app:latest'],
    ['[2001:db8::1]:5000/app:1', '[2001:db8::1]:5000/app:1', '[2001:db8::1]:5000/app:1'],
    ['HOST/app', 'HOST/app:latest', 'HOST/app:latest'],
    ['a__b/c--d.e', 'docker.io/a__b/c--d.e:latest', 'a__b/c--d.e:latest'],
    [`debian@${digest}`, `docker.io/library/debian@${digest}`, `debian@${digest}`],
    [`debian:12@${digest}`, `docker.io/library/debian:12@${digest}`, `debian:12@${digest}`],
    ['docker.io/library/a/b', 'docker.io/library/a/b:latest', 'docker.io/library/a/b:latest'],
    ['docker.io/foo.bar/x', 'docker.io/foo.bar/x:latest', 'docker.io/foo.bar/x:latest'],
  ])('%s means %s and is shown as %s', (text, canonical, familiar) => {
    expect(normaliseReference(text)).toBe(canonical);
    expect(familiarName(withDefaultTag(parseReference(text)))).toBe(familiar);
  });

  test.each([
    ['', 'an empty one'],
    [':tag', 'one without a name'],
    ['Debian', 'an upper-case repository'],
    ['debian:', 'an empty tag'],
    ['debian:-x', 'a tag that starts with a dash'],
    [`debian:${'x'.repeat(129)}`, 'a tag of 129 characters'],
    ['debian@sha256:abc', 'a short digest'],
    [`debian@sha512:${'ab'.repeat(64)}`, 'a digest that is not sha256'],
    ['ab'.repeat(32), 'an image ID'],
    ['a//b', 'an empty component'],
    ['/debian', 'a leading slash'],
    ['debian/', 'a trailing slash'],
    ['a/../b', 'dots for components'],
    ['-a', 'a leading dash'],
    ['a___b', 'three underscores'],
    ['a b', 'a space'],
    ['a\nb', 'a line feed'],
    ['exa_mple.org/a', 'a registry that is no host name'],
    ['x.org:port/a', 'a port that is no number'],
    [`x.org/${'a'.repeat(260)}`, 'a name of more than 255 characters'],
  ])('refuses %j: %s', async (text) => {
    expect(await failure(() => parseReference(text))).toMatchObject({ code: 'ERR_INVALID_REFERENCE' });
  });

  test('keeps its meaning when the familiar form is read again', () => {
    const component = fc.stringMatching(/^[a-z0-9]{1,6}([._-][a-z0-9]{1,4})?$/);
    const domain = fc.constantFrom('docker.io', 'localhost', 'quay.io', 'r:5000', 'X', 'index.docker.io');
    const tag = fc.option(fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,10}$/), { nil: undefined });
    fc.assert(
      fc.property(fc.option(domain), fc.array(component, { minLength: 1, maxLength: 3 }), tag, (host, parts, label) => {
        const text = `${host === null ? '' : `${host}/`}${parts.join('/')}${label === undefined ? '' : `:${label}`}`;
        const reference = parseReference(text);
        expect(parseReference(familiarName(reference))).toEqual(reference);
        expect(parseReference(canonicalName(reference))).toEqual(reference);
      }),
    );
  });
});
