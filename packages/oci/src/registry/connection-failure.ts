import { fromSystemError, hasCode, StoreError } from '@layerstore/core';

/** Errors after which the same request may succeed: the network hiccuped, or a kept connection was closed by the other side. */
const passing: ReadonlySet<string> = new Set([
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EAI_AGAIN',
  'ENETUNREACH',
  'EHOSTUNREACH',
  'ENETDOWN',
  'ERR_STREAM_PREMATURE_CLOSE',
  'HPE_INVALID_EOF_STATE',
]);

const untrusted: ReadonlySet<string> = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
]);

/** An error of the network as ERR_REGISTRY_UNREACHABLE about a host. */
export function connectionFailure(cause: unknown, url: URL): StoreError {
  if (StoreError.is(cause)) return cause;
  const code = codeOf(cause);
  const host = url.host;
  const fail = (reason: string, hint: string): StoreError =>
    new StoreError('ERR_REGISTRY_UNREACHABLE', reason, { subject: host, hint, cause });
  if (untrusted.has(code)) {
    return fail(
      'nobody that this machine trusts vouches for the certificate',
      `put its authority into /etc/docker/certs.d/${host}/ca.crt`,
    );
  }
  switch (code) {
    case 'ENOTFOUND':
      return fail('there is no such host', 'check the name of the registry');
    case 'ECONNREFUSED':
      return fail('nothing answers there', 'check name and port of the registry, and whether it runs');
    case 'CERT_HAS_EXPIRED':
      return fail('the certificate has expired', 'tell whoever runs the registry; check the clock of this machine');
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return fail('the certificate is for another host', 'use the name that the certificate has');
    default:
      if (isPlainHttp(cause)) {
        return fail('it does not speak TLS', `if plain HTTP is meant, allow it with --insecure-registry ${host}`);
      }
      if (isOfTls(code)) {
        return fail(
          `no TLS connection comes about (${textOf(cause).trim()})`,
          `if the registry wants to see a certificate, put it into /etc/docker/certs.d/${host} as NAME.cert and NAME.key`,
        );
      }
      return fail(textOf(cause), 'check the network, then try again');
  }
}

/** Whether a request that failed so may be sent again. */
export function isPassing(error: unknown): boolean {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    if (passing.has(codeOf(cause))) return true;
  }
  return false;
}

/** Whether nothing listened. */
export function isRefused(error: unknown): boolean {
  return error instanceof Error && codeOf(error.cause) === 'ECONNREFUSED';
}

/** Whether an attempt with TLS failed so that one without makes sense: the other side answered, but not in TLS, or does not listen there. */
export function suggestsPlainHttp(error: unknown): boolean {
  if (!hasCode(error, 'ERR_REGISTRY_UNREACHABLE')) return false;
  const code = codeOf(error.cause);
  return code === 'ECONNREFUSED' || code === 'ECONNRESET' || isPlainHttp(error.cause);
}

/** An error while a body was read, as the error of a connection. */
export function brokenBody(cause: unknown, url: URL, signal: AbortSignal | undefined): StoreError {
  if (signal?.aborted === true) return fromSystemError(new DOMException('cancelled', 'AbortError'));
  return connectionFailure(cause, url);
}

/** The other side answered, but not in TLS: what OpenSSL says to the first bytes of an HTTP answer. */
function isPlainHttp(cause: unknown): boolean {
  const code = codeOf(cause);
  return (
    code.startsWith('HPE_') ||
    (isOfTls(code) && /wrong.version|packet.length|http.request/i.test(`${code} ${textOf(cause)}`))
  );
}

function isOfTls(code: string): boolean {
  return code === 'EPROTO' || code.startsWith('ERR_SSL_');
}

function codeOf(error: unknown): string {
  // Node tries every address of a host and reports all failures at once.
  if (error instanceof AggregateError && error.errors.length > 0) return codeOf(error.errors[0]);
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}

function textOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return textOf(error.errors[0]);
  return error instanceof Error ? error.message : String(error);
}
