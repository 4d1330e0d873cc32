import { fail } from 'node:assert/strict';
import { StoreError } from '@layerstore/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { maxThinFileSize, parseThinFile } from './thin-file.js';

const digest = 'a'.repeat(64);
const url = `cvmfs://images.example.org/.layers/aa/${digest}/layerfs`;
const bytes = (document: unknown): Buffer => Buffer.from(JSON.stringify(document));
const parse = (document: unknown) => parseThinFile(bytes(document), 'a layer');
const failure = (document: unknown): StoreError => {
  try {
    parse(document);
  } catch (error) {
    if (StoreError.is(error)) return error;
    throw error;
  }
  return fail('it was accepted');
};

describe('a thin.json', () => {
  test('names layers in repositories, base first, and may hold more than is known', () => {
    const document = {
      version: '1.0',
      origin: 'debian@hub',
      comment: 'x',
      further: {},
      layers: [{ digest, url, size: 1 }],
    };
    expect(parse(document).entries).toEqual([
      { digest, url, repository: 'images.example.org', path: `.layers/aa/${digest}/layerfs` },
    ]);
  });

  test.each(['1.0', '1.7', '0.9'])('of version %s is understood: its main version is not newer', (version) => {
    expect(parse({ version, layers: [{ digest, url }] }).entries).toHaveLength(1);
  });

  test('of a newer version is understood where it says that old readers may read it', () => {
    expect(parse({ version: '2.3', min_version: '1.0', layers: [{ digest, url }] }).entries).toHaveLength(1);
  });

  test.each([{ version: '2.0' }, { version: '1.5', min_version: '1.1' }, { version: '1.0', min_version: '9999.0' }])(
    'with %j is refused as one of another version, before anything else is looked at',
    (versions) => {
      expect(failure({ ...versions, layers: 'of another shape' })).toMatchObject({
        code: 'ERR_UNSUPPORTED_FORMAT',
        subject: 'a layer',
      });
    },
  );

  test.each([
    ['no version', { layers: [{ digest, url }] }],
    ['a version that is a number', { version: 1, layers: [{ digest, url }] }],
    ['a version of three parts', { version: '1.0.0', layers: [{ digest, url }] }],
    ['a version that overflows', { version: `1${'0'.repeat(30)}.0`, layers: [{ digest, url }] }],
    ['no layers', { version: '1.0' }],
    ['an empty list of layers', { version: '1.0', layers: [] }],
    ['too many layers', { version: '1.0', layers: Array.from({ length: 501 }, () => ({ digest, url })) }],
    ['layers that are no list', { version: '1.0', layers: { length: 1, 0: { digest, url } } }],
    ['a layer without a URL', { version: '1.0', layers: [{ digest }] }],
    ['a digest with its algorithm', { version: '1.0', layers: [{ digest: `sha256:${digest}`, url }] }],
    ['a digest in capitals', { version: '1.0', layers: [{ digest: digest.toUpperCase(), url }] }],
    ['a short digest', { version: '1.0', layers: [{ digest: digest.slice(1), url }] }],
    ['a list instead of an object', [1]],
    ['null', null],
  ])('with %s is refused', (_what, document) => {
    expect(failure(document)).toMatchObject({ code: 'ERR_MALFORMED_THIN_LAYER', subject: 'a layer' });
  });

  test.each([
    'http://images.example.org/layers/x',
    'file:///etc',
    'CVMFS://images.example.org/layers/x',
    'cvmfs://images.example.org',
    'cvmfs://images.example.org/',
    'cvmfs:///layers/x',
    'cvmfs://images.example.org//etc',
    'cvmfs://images.example.org/layers/../../../etc',
    'cvmfs://images.example.org/..',
    'cvmfs://images.example.org/layers/./x',
    'cvmfs://images.example.org/layers/x/',
    'cvmfs://images.example.org/layers/\u0000x',
    'cvmfs://images.example.org/layers/x\ny',
    `cvmfs://images.example.org/${'x'.repeat(256)}`,
    'cvmfs://../layers/x',
    'cvmfs://localhost/layers/x',
    'cvmfs://.example.org/layers/x',
    'cvmfs://images..org/layers/x',
    'cvmfs://-o.example.org/layers/x',
    'cvmfs://images.example.org;reboot/layers/x',
    'cvmfs://$(reboot).example.org/layers/x',
    'cvmfs://user@images.example.org/layers/x',
    'cvmfs://images.example.org:80/layers/x',
    `cvmfs://${'x'.repeat(250)}.org/layers/x`,
  ])('with a layer at %j is refused, and the place is named', (bad) => {
    const error = failure({
      version: '1.0',
      layers: [
        { digest, url },
        { digest, url: bad },
      ],
    });
    expect(error.code).toBe('ERR_MALFORMED_THIN_LAYER');
    expect(error.message).toContain('layers.1.url: ');
  });

  test.each([
    ['no JSON', Buffer.from('{')],
    ['bytes that are no UTF-8', Buffer.from([0x7b, 0xff, 0x7d])],
    ['nothing', Buffer.alloc(0)],
    ['brackets as deep as fit', Buffer.alloc(maxThinFileSize, '[')],
  ])('that holds %s is refused', (_what, content) => {
    expect(() => parseThinFile(content, 'a layer')).toThrow(
      expect.objectContaining({ code: 'ERR_MALFORMED_THIN_LAYER' }),
    );
  });

  test('of more than a mebibyte is refused unread', () => {
    expect(() => parseThinFile(Buffer.alloc(maxThinFileSize + 1, ' '), 'a layer')).toThrow(
      expect.objectContaining({ code: 'ERR_LIMIT_EXCEEDED' }),
    );
  });

  test('is read, or refused with an error that says why, whatever it holds', () => {
    const value = fc.oneof(fc.string(), fc.constant(digest), fc.constant(url), fc.jsonValue());
    const layer = fc.record({ digest: value, url: value }, { requiredKeys: [] });
    const document = fc.record({ version: value, min_version: value, layers: fc.array(layer) }, { requiredKeys: [] });
    fc.assert(
      fc.property(fc.oneof(document, fc.jsonValue()), (any) => {
        try {
          for (const { path } of parse(any).entries) expect(path.split('/')).not.toContain('..');
        } catch (error) {
          expect(StoreError.is(error)).toBe(true);
        }
      }),
      { numRuns: 300 },
    );
  });
});
