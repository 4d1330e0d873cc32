/** What the engine sends, checked before anything is done with it. Source: docker/docker plugin API v1, drivers/proxy.go. */
import * as v from 'valibot';
import { StoreError } from '@layerstore/core';

const text = v.pipe(v.string(), v.maxLength(4096));
/** A broken exchange is repeated with an empty body: no call may take a missing id for a name. */
const id = v.pipe(text, v.nonEmpty());
const layer = v.object({ ID: id });
const compared = v.object({ ID: id, Parent: v.nullish(text) });
const created = v.object({
  ID: id,
  Parent: v.nullish(text),
  MountLabel: v.nullish(text),
  StorageOpt: v.nullish(v.record(text, text)),
});
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const ranges = v.nullish(v.array(v.object({ container_id: count, host_id: count, size: count })));
const nothing = v.object({});

export const requestSchemas = {
  Init: v.object({
    Home: v.pipe(text, v.nonEmpty()),
    Opts: v.nullish(v.array(text)),
    UIDMaps: ranges,
    GIDMaps: ranges,
  }),
  Capabilities: nothing,
  Create: created,
  CreateReadWrite: created,
  Remove: layer,
  Get: v.object({ ID: id, MountLabel: v.nullish(text) }),
  Put: layer,
  Exists: layer,
  Status: nothing,
  GetMetadata: layer,
  Cleanup: nothing,
  Diff: compared,
  Changes: compared,
  DiffSize: compared,
} as const;

export type Method = keyof typeof requestSchemas;
export type Request<Name extends Method> = v.InferOutput<(typeof requestSchemas)[Name]>;

/** @throws StoreError ERR_INVALID_ARGUMENT that names the field */
export function parseRequest<Name extends Method>(method: Name, body: Buffer): Request<Name> {
  if (body.length === 0) {
    throw new StoreError('ERR_INVALID_ARGUMENT', 'the request has no body', {
      subject: method,
      hint: 'an engine repeats a broken exchange without its body: do the same again',
    });
  }
  const parsed = v.safeParse(requestSchemas[method], parseJson(method, body));
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  const field = v.getDotPath(issue);
  throw new StoreError('ERR_INVALID_ARGUMENT', issue.message.toLowerCase(), {
    subject: field === null ? method : `${method}: ${field}`,
  });
}

function parseJson(method: Method, body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch (cause) {
    throw new StoreError('ERR_INVALID_ARGUMENT', 'the body is not JSON', { subject: method, cause });
  }
}

/** `id=..&parent=..` of `ApplyDiff`: engines do not escape the values. */
export function parseApplyQuery(query: string): { readonly id: string; readonly parent: string } {
  const values = new Map<string, string>();
  for (const pair of query.split('&').filter((part) => part !== '')) {
    const split = pair.indexOf('=');
    const name = split < 0 ? pair : pair.slice(0, split);
    if (values.has(name)) {
      throw new StoreError('ERR_INVALID_ARGUMENT', 'the parameter comes twice', { subject: `ApplyDiff: ${name}` });
    }
    values.set(name, split < 0 ? '' : pair.slice(split + 1));
  }
  const id = values.get('id') ?? '';
  if (id === '') throw new StoreError('ERR_INVALID_ARGUMENT', 'the request has no id', { subject: 'ApplyDiff' });
  return { id, parent: values.get('parent') ?? '' };
}
