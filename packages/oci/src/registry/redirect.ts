import { StoreError } from '@layerstore/core';

const statuses: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** More in a row are taken for a circle. */
export const REDIRECT_LIMIT = 5;

export function isRedirect(status: number): boolean {
  return statuses.has(status);
}

/**
 * Where an answer leads to.
 * @param origin of the server that was asked first
 * @param insecure it was allowed to do without TLS
 * @throws StoreError ERR_UNSAFE_TRANSFER for plain HTTP after TLS; ERR_REGISTRY_FAILED for what is no place at all
 */
export function redirectTarget(location: string | undefined, from: URL, origin: URL, insecure: boolean): URL {
  if (location === undefined || !URL.canParse(location, from.href)) {
    throw new StoreError('ERR_REGISTRY_FAILED', 'a redirect that leads nowhere', { subject: from.host });
  }
  const target = new URL(location, from);
  refuseDowngrade(target, origin, insecure);
  // A user name in a URL would be sent as credentials.
  target.username = '';
  target.password = '';
  return target;
}

/** @throws StoreError ERR_UNSAFE_TRANSFER */
export function refuseDowngrade(target: URL, origin: URL, insecure: boolean): void {
  const isHttp = target.protocol === 'http:' || target.protocol === 'https:';
  if (isHttp && (target.protocol === 'https:' || origin.protocol === 'http:' || insecure)) return;
  throw new StoreError('ERR_UNSAFE_TRANSFER', `the registry leads from HTTPS to ${target.protocol}//${target.host}`, {
    subject: origin.host,
    hint: 'whoever runs the registry has to let it lead to an https: address',
  });
}

export function tooManyRedirects(origin: URL): StoreError {
  return new StoreError('ERR_UNSAFE_TRANSFER', `more than ${REDIRECT_LIMIT} redirects in a row`, {
    subject: origin.host,
    hint: 'the registry or a proxy before it leads round in a circle',
  });
}
