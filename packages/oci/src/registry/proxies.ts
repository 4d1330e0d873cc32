import { BlockList, isIP } from 'node:net';
import { StoreError } from '@layerstore/core';
import { addNetwork, contains, zoneOf } from './address-zone.js';
import type { Proxies } from './options.js';

/**
 * The proxy for a request, if there is one. Names and addresses of this machine are always reached directly, as Go's tools do.
 * @throws StoreError ERR_INVALID_ARGUMENT for a proxy that is no URL
 */
export function proxyFor(url: URL, proxies: Proxies | undefined): URL | undefined {
  const text = url.protocol === 'https:' ? proxies?.https : proxies?.http;
  if (text === undefined || text === '' || isExempt(url, proxies?.noProxy ?? '')) return undefined;
  const full = text.includes('://') ? text : `http://${text}`;
  const proxy = URL.canParse(full) ? new URL(full) : undefined;
  if (proxy !== undefined && (proxy.protocol === 'http:' || proxy.protocol === 'https:')) return proxy;
  throw new StoreError('ERR_INVALID_ARGUMENT', 'not the URL of an HTTP proxy', {
    // It may hold a password.
    subject: full.replace(/\/\/[^@/]*@/, '//...@'),
    hint: 'a proxy is http://host:port, with user:password@ before the host if it wants them',
  });
}

function isExempt(url: URL, noProxy: string): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, '').toLowerCase();
  const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port;
  if (host === 'localhost' || (isIP(host) !== 0 && zoneOf(host) === 'own')) return true;
  return noProxy
    .split(/[\s,]+/)
    .filter((rule) => rule !== '')
    .some((rule) => matches(rule.toLowerCase(), host, port));
}

function matches(rule: string, host: string, port: string): boolean {
  if (rule === '*') return true;
  const network = new BlockList();
  if (addNetwork(network, rule.replace(/^\[|\]$/g, ''))) return contains(network, host);
  const [, name = '', wantedPort] = /^(.*?)(?::(\d+))?$/.exec(rule) ?? [];
  if (wantedPort !== undefined && wantedPort !== port) return false;
  const bare = name.replace(/^\*?\./, '').replace(/^\[|\]$/g, '');
  return host === bare ? !name.startsWith('.') || isIP(host) !== 0 : host.endsWith(`.${bare}`);
}
