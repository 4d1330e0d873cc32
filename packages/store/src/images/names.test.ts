import { familiarName, normaliseReference, parseReference } from '@layerstore/oci';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { familiar } from './names.js';

const hex = '0123456789abcdef';

test.each([
  ['docker.io/library/debian:12', 'debian:12'],
  ['docker.io/library/a__b:1', 'a__b:1'],
  [`docker.io/library/${hex.repeat(4)}:1`, `docker.io/library/${hex.repeat(4)}:1`],
  ['docker.io/someone/debian:12', 'someone/debian:12'],
  ['quay.io/library/debian:12', 'quay.io/library/debian:12'],
  ['docker.io/library/Not a name', 'docker.io/library/Not a name'],
])('%s is shown as %s', (canonical, shown) => {
  expect(familiar(canonical)).toBe(shown);
});

test('every name is shown as the grammar of references has it', () => {
  const name = fc.stringMatching(/^[a-z0-9]{1,70}([._-][a-z0-9]{1,4}){0,2}$/);
  const tag = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}$/);
  fc.assert(
    fc.property(name, tag, (path, word) => {
      fc.pre(!/^[0-9a-f]{64}$/.test(path));
      const canonical = normaliseReference(`${path}:${word}`);
      expect(familiar(canonical)).toBe(familiarName(parseReference(canonical)));
    }),
  );
});
