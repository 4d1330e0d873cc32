import { StoreError } from '@layerstore/core';

/** One way to a repository: a server, directly or through a proxy. */
export interface Route {
  /** URL of the repository's root, without a slash at the end. */
  readonly server: string;
  readonly proxy: URL | undefined;
}

const DIRECT = /^direct$/i;

/** @throws StoreError ERR_INVALID_ARGUMENT for what is not the URL of a server */
export function parseServer(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (
    url !== undefined &&
    (url.protocol === 'http:' || url.protocol === 'https:') &&
    url.search === '' &&
    url.hash === ''
  ) {
    return url.href.replace(/\/+$/, '');
  }
  throw new StoreError('ERR_INVALID_ARGUMENT', 'not the URL of a server', {
    subject: text,
    hint: 'a server is http://host/cvmfs/sw.example.org',
  });
}

/** A proxy as `CVMFS_HTTP_PROXY` names it; undefined for DIRECT. @throws StoreError ERR_INVALID_ARGUMENT */
export function parseProxy(text: string): URL | undefined {
  if (DIRECT.test(text)) return undefined;
  const full = text.includes('://') ? text : `http://${text}`;
  const url = URL.canParse(full) ? new URL(full) : undefined;
  if (url !== undefined && (url.protocol === 'http:' || url.protocol === 'https:')) return url;
  throw new StoreError('ERR_INVALID_ARGUMENT', 'not the URL of an HTTP proxy', {
    // It may hold a password.
    subject: full.replace(/\/\/[^@/]*@/, '//...@'),
    hint: 'a proxy is http://host:port, or DIRECT for none',
  });
}

/** For logs and messages: without passwords. */
export function describeRoute({ server, proxy }: Route): string {
  const shown = server.replace(/\/\/[^@/]*@/, '//...@');
  return proxy === undefined ? shown : `${shown} through ${proxy.host}`;
}
