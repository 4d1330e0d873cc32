import { STATUS_CODES } from 'node:http';
import { StoreError, type ErrorCode } from '@layerstore/core';
import * as v from 'valibot';
import { readBody } from './body.js';
import type { HttpResponse } from './transport.js';

/** What an answer with an error status says, in the registry's own words. */
export interface Refusal {
  readonly status: number;
  /** `manifest unknown (MANIFEST_UNKNOWN)`, or the status where it says nothing. */
  readonly words: string;
  readonly codes: readonly string[];
  /** Milliseconds to wait that it asks for. */
  readonly retryAfter: number | undefined;
}

/** OCI distribution-spec, "Error Codes". Harbor and others send `detail` in any form. */
const errorsShape = v.object({
  errors: v.array(v.object({ code: v.optional(v.unknown()), message: v.optional(v.unknown()) })),
});

/** An error page may be long; what it says stands at its beginning. */
const BODY_LIMIT = 64 * 1024;
const WORDS_LIMIT = 300;

export async function readRefusal(response: HttpResponse, signal: AbortSignal | undefined): Promise<Refusal> {
  const { status } = response;
  const said = await readWords(response, signal);
  return {
    status,
    words:
      said.words === '' ? `${STATUS_CODES[status] ?? 'nothing'} (HTTP ${status})` : said.words.slice(0, WORDS_LIMIT),
    codes: said.codes,
    retryAfter: retryAfter(response.header('retry-after')),
  };
}

async function readWords(
  response: HttpResponse,
  signal: AbortSignal | undefined,
): Promise<{ words: string; codes: string[] }> {
  let text: string;
  try {
    text = (await readBody(response, 'error', { limit: BODY_LIMIT, within: 10_000, signal })).toString('utf8');
  } catch (error) {
    // The status has said already that the request failed; only a cancellation means more than that.
    if (signal?.aborted === true) throw error;
    return { words: '', codes: [] };
  }
  const result = v.safeParse(errorsShape, parseOrNothing(text));
  if (!result.success) return { words: isMarkup(text) ? '' : (text.trim().split('\n')[0] ?? ''), codes: [] };
  const errors = result.output.errors.slice(0, 5);
  const codes = errors.map(({ code }) => (typeof code === 'string' ? code : ''));
  const words = errors.map(({ code, message }) => {
    const name = typeof code === 'string' ? code : '';
    return typeof message === 'string' && message !== '' ? `${message}${name === '' ? '' : ` (${name})`}` : name;
  });
  return { words: words.filter((text) => text !== '').join('; '), codes };
}

function parseOrNothing(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Proxies and gateways answer with pages of their own.
    return undefined;
  }
}

const isMarkup = (text: string): boolean => text.trimStart().startsWith('<');

/** Seconds or a date (RFC 9110, section 10.2.3), as milliseconds from now. */
export function retryAfter(header: string | undefined, now = Date.now()): number | undefined {
  if (header === undefined) return undefined;
  if (/^\d{1,9}$/.test(header.trim())) return Number(header) * 1000;
  const date = /[A-Za-z]{3}/.test(header) ? Date.parse(header) : NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

/**
 * The error of an answer.
 * @param subject the reference, or what else was asked for
 */
export function refusalError(refusal: Refusal, subject: string, domain: string): StoreError {
  const { status, words } = refusal;
  const fail = (code: ErrorCode, hint: string): StoreError =>
    new StoreError(code, `the registry says: ${words}`, { subject, hint });
  if (status === 404 || refusal.codes.includes('MANIFEST_UNKNOWN') || refusal.codes.includes('NAME_UNKNOWN')) {
    return fail(
      'ERR_IMAGE_NOT_FOUND',
      `check name and tag; \`skopeo list-tags docker://${subject.replace(/[:@][^/]*$/, '')}\` lists the tags`,
    );
  }
  if (status === 401 || status === 403) return denied(words, subject, domain);
  if (status === 429)
    return fail('ERR_REGISTRY_FAILED', 'the registry wants fewer requests: wait, or log in for a higher limit');
  return fail('ERR_REGISTRY_FAILED', 'try again later; if it repeats, ask whoever runs the registry');
}

export function denied(words: string, subject: string, domain: string): StoreError {
  return new StoreError('ERR_REGISTRY_DENIED', `the registry says: ${words}`, {
    subject,
    hint: `check the name, and log in: \`podman login ${domain}\` or \`docker login ${domain}\`, or --creds`,
  });
}
