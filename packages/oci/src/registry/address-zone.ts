import { lookup, type LookupAddress } from 'node:dns';
import { BlockList, isIP, isIPv6, type LookupFunction } from 'node:net';
import { StoreError } from '@layerstore/core';

/**
 * How near an address is: `public`, `private` (the local network), or `own` (this machine and its link, where clouds keep their metadata
 * service).
 *
 * Whoever runs a registry may lead to addresses of the same zone and of those further out. A redirect further in would make this machine
 * fetch, with its rights, what the registry cannot reach itself.
 */
export type AddressZone = 'public' | 'private' | 'own';

const order: readonly AddressZone[] = ['public', 'private', 'own'];

const own = new BlockList();
const local = new BlockList();

/** IANA's special-purpose address registries (RFC 6890). */
for (const network of ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16']) addNetwork(own, network);
for (const network of ['::/128', '::1/128', 'fe80::/10']) addNetwork(own, network);
for (const network of [
  '10.0.0.0/8',
  '100.64.0.0/10',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
])
  addNetwork(local, network);
for (const network of ['224.0.0.0/4', '240.0.0.0/4', 'fc00::/7', 'fec0::/10', 'ff00::/8', '64:ff9b:1::/48'])
  addNetwork(local, network);

/** Adds `address/bits`, or a single address. @returns false for what is neither */
export function addNetwork(list: BlockList, text: string): boolean {
  const [address = '', bits] = text.split('/');
  const family = isIP(address);
  if (family === 0) return false;
  const longest = family === 6 ? 128 : 32;
  const prefix = bits === undefined ? longest : /^\d{1,3}$/.test(bits) ? Number(bits) : NaN;
  if (!(prefix <= longest)) return false;
  list.addSubnet(address, prefix, family === 6 ? 'ipv6' : 'ipv4');
  return true;
}

export function contains(list: BlockList, address: string): boolean {
  return isIP(address) !== 0 && list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
}

/** @param address an IP address; those of IPv4 in IPv6 form count as what they stand for */
export function zoneOf(address: string): AddressZone {
  const inner = embeddedAddress(address);
  if (inner !== undefined) return zoneOf(inner);
  if (contains(own, address)) return 'own';
  return contains(local, address) ? 'private' : 'public';
}

/** IPv4 addresses in IPv6: mapped (RFC 4291), translated (RFC 6052), 6to4 (RFC 3056). */
function embeddedAddress(address: string): string | undefined {
  if (!isIPv6(address)) return undefined;
  const groups = expand(address);
  const high = groups.slice(0, 6).join(':');
  if (high === '0:0:0:0:0:ffff' || high === '64:ff9b:0:0:0:0') return dotted(groups[6], groups[7]);
  return groups[0] === '2002' ? dotted(groups[1], groups[2]) : undefined;
}

/** The eight groups of an IPv6 address, as the URL parser writes it. */
function expand(address: string): string[] {
  const text = new URL(`http://[${address.replace(/%.*$/, '')}]`).hostname.slice(1, -1);
  const [head = '', tail] = text.split('::');
  const front = head === '' ? [] : head.split(':');
  const back = tail === undefined || tail === '' ? [] : tail.split(':');
  return [...front, ...Array.from({ length: 8 - front.length - back.length }, () => '0'), ...back];
}

function dotted(high = '0', low = '0'): string {
  const [first, second] = [parseInt(high, 16), parseInt(low, 16)];
  return [first >> 8, first & 255, second >> 8, second & 255].join('.');
}

export function isWithin(zone: AddressZone, innermost: AddressZone): boolean {
  return order.indexOf(zone) <= order.indexOf(innermost);
}

/** @throws StoreError ERR_UNSAFE_TRANSFER when `host` is itself an address further in than `innermost` */
export function checkLiteral(host: string, innermost: AddressZone): void {
  const bare = host.replace(/^\[|\]$/g, '');
  const zone = bare === 'localhost' || bare.endsWith('.localhost') ? 'own' : isIP(bare) === 0 ? 'public' : zoneOf(bare);
  if (!isWithin(zone, innermost)) throw furtherIn(host, bare, innermost);
}

/**
 * A name look-up for sockets that gives only addresses that may be reached. It is the look-up of the connection itself, so a name that
 * changes its address in between gains nothing.
 */
export function lookupWithin(innermost: AddressZone): LookupFunction {
  return (host, options, callback) => {
    lookup(host, { ...options, all: true }, (error, addresses: LookupAddress[]) => {
      if (error !== null) {
        callback(error, '', 0);
        return;
      }
      const wrong = addresses.find(({ address }) => !isWithin(zoneOf(address), innermost));
      const [first] = addresses;
      if (wrong !== undefined || first === undefined) callback(furtherIn(host, wrong?.address ?? '', innermost), '', 0);
      else if (options.all === true) callback(null, addresses);
      else callback(null, first.address, first.family);
    });
  };
}

function furtherIn(host: string, address: string, innermost: AddressZone): StoreError {
  const where = innermost === 'public' ? 'a public registry' : 'a registry of the local network';
  return new StoreError(
    'ERR_UNSAFE_TRANSFER',
    `${where} led to an internal address${host === address ? '' : ` (${address})`}`,
    {
      subject: host,
      hint: 'do not trust this registry before whoever runs it has explained that',
    },
  );
}
