import { describe, expect, it } from 'vitest';
import { proxyFor } from './proxies.js';

const proxies = { http: 'http://plain.proxy:3128', https: 'secure.proxy:3129' };
const proxyOf = (url: string, noProxy = '') => proxyFor(new URL(url), { ...proxies, noProxy })?.host;

describe('the proxy of a request', () => {
  it('is that of its scheme', () => {
    expect(proxyOf('http://registry.example')).toBe('plain.proxy:3128');
    expect(proxyOf('https://registry.example')).toBe('secure.proxy:3129');
    expect(proxyFor(new URL('https://registry.example'), undefined)).toBeUndefined();
  });

  it.each(['http://localhost:5000', 'http://127.0.0.1:5000', 'https://[::1]:5000'])('is none for %s', (url) => {
    expect(proxyOf(url)).toBeUndefined();
  });

  it.each([
    ['example.org', 'https://example.org', true],
    ['example.org', 'https://registry.example.org', true],
    ['.example.org', 'https://registry.example.org', true],
    ['.example.org', 'https://example.org', false],
    ['*.example.org', 'https://registry.example.org', true],
    ['example.org', 'https://badexample.org', false],
    ['EXAMPLE.org', 'https://example.ORG', true],
    ['example.org:5000', 'https://example.org:5000', true],
    ['example.org:5000', 'https://example.org', false],
    ['example.org:443', 'https://example.org', true],
    ['10.0.0.0/8', 'http://10.1.2.3:5000', true],
    ['10.0.0.0/8', 'http://11.1.2.3:5000', false],
    ['10.1.2.3', 'http://10.1.2.3:5000', true],
    ['fd00::/8', 'http://[fd00::1]:5000', true],
    ['a, b\tc', 'http://c', true],
    ['*', 'http://anything', true],
    ['', 'http://anything', false],
  ])('NO_PROXY=%s and %s: exempt %s', (noProxy, url, exempt) => {
    expect(proxyOf(url, noProxy) === undefined).toBe(exempt);
  });

  it('must be a URL of HTTP; the error does not show its password', () => {
    const wrong = { http: 'socks5://user:secret@host:1' };
    expect(() => proxyFor(new URL('http://a.example'), wrong)).toThrow(
      expect.objectContaining({
        code: 'ERR_INVALID_ARGUMENT',
        message: expect.not.stringContaining('secret') as string,
      }),
    );
  });
});
