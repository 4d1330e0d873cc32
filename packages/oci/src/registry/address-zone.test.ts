import { describe, expect, it } from 'vitest';
import { checkLiteral, isWithin, lookupWithin, zoneOf } from './address-zone.js';

describe('the zone of an address', () => {
  it.each([
    ['8.8.8.8', 'public'],
    ['198.51.100.7', 'public'],
    ['2606:4700::1111', 'public'],
    ['10.0.0.1', 'private'],
    ['172.31.255.255', 'private'],
    ['192.168.1.1', 'private'],
    ['100.64.0.1', 'private'],
    ['fd00::1', 'private'],
    ['127.0.0.1', 'own'],
    ['127.255.255.254', 'own'],
    ['0.0.0.0', 'own'],
    ['169.254.169.254', 'own'],
    ['::1', 'own'],
    ['::', 'own'],
    ['fe80::1%eth0', 'own'],
    ['::ffff:127.0.0.1', 'own'],
    ['::ffff:7f00:1', 'own'],
    ['0:0:0:0:0:ffff:a00:1', 'private'],
    ['64:ff9b::169.254.169.254', 'own'],
    ['2002:7f00:1::', 'own'],
    ['::ffff:8.8.8.8', 'public'],
  ])('%s is %s', (address, zone) => {
    expect(zoneOf(address)).toBe(zone);
  });

  it('may be reached from the same zone and from further in', () => {
    expect(isWithin('public', 'public')).toBe(true);
    expect(isWithin('public', 'own')).toBe(true);
    expect(isWithin('private', 'public')).toBe(false);
    expect(isWithin('own', 'private')).toBe(false);
  });
});

describe('a host that a public registry leads to', () => {
  it.each(['127.0.0.1', '[::1]', 'localhost', 'a.localhost', '[::ffff:10.0.0.1]', '192.168.0.1'])(
    '%s is refused',
    (host) => {
      expect(() => checkLiteral(host, 'public')).toThrow(expect.objectContaining({ code: 'ERR_UNSAFE_TRANSFER' }));
    },
  );

  // The URL parser turns every spelling of an IPv4 address into the usual one.
  it.each(['http://2130706433/', 'http://0x7f.1/', 'http://0177.0.0.1/', 'http://127.1/'])('%s is refused', (url) => {
    expect(() => checkLiteral(new URL(url).hostname, 'public')).toThrow(
      expect.objectContaining({ code: 'ERR_UNSAFE_TRANSFER' }),
    );
  });

  it('is refused when its name stands for an internal address', async () => {
    const look = (innermost: 'public' | 'own') =>
      new Promise((resolve) => lookupWithin(innermost)('localhost', {}, (error, address) => resolve(error ?? address)));
    expect(await look('public')).toMatchObject({ code: 'ERR_UNSAFE_TRANSFER' });
    expect(await look('own')).toMatch(/^(127\.0\.0\.1|::1)$/);
  });
});
