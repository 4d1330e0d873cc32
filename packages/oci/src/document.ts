import { StoreError } from '@layerstore/core';
import * as v from 'valibot';

/**
 * The largest manifest, index or config that is read: 4 MiB, the size up to which registries must take a manifest
 * (OCI distribution-spec, "Pushing Manifests").
 */
export const DOCUMENT_LIMIT = 4 * 1024 * 1024;

/**
 * Parses a JSON document that came from outside and checks its shape.
 * @param subject what the document is, as it leads an error: "manifest sha256:..."
 * @throws StoreError ERR_MALFORMED_IMAGE naming the field; ERR_LIMIT_EXCEEDED above {@link DOCUMENT_LIMIT}
 */
export function parseDocument<Schema extends v.GenericSchema>(
  bytes: Uint8Array,
  schema: Schema,
  subject: string,
): v.InferOutput<Schema> {
  const result = v.safeParse(schema, parseJson(bytes, subject));
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw malformed(subject, v.getDotPath(issue), issue.message);
}

/** ERR_MALFORMED_IMAGE about one field of a document. */
export function malformed(subject: string, field: string | null, reason: string, cause?: unknown): StoreError {
  return new StoreError('ERR_MALFORMED_IMAGE', field === null ? reason : `${field}: ${reason}`, { subject, cause });
}

function parseJson(bytes: Uint8Array, subject: string): unknown {
  if (bytes.length > DOCUMENT_LIMIT) {
    throw new StoreError('ERR_LIMIT_EXCEEDED', `${bytes.length} bytes, the limit is ${DOCUMENT_LIMIT}`, { subject });
  }
  let document: unknown;
  try {
    document = JSON.parse(decodeUtf8(bytes));
  } catch (cause) {
    throw new StoreError('ERR_MALFORMED_IMAGE', 'not a JSON document in UTF-8', { subject, cause });
  }
  refuseTwoSpellings(document, subject);
  return document;
}

/** Go, in which the engines are written, ignores case here: of `layers` and `Layers` it would take the last. */
function refuseTwoSpellings(document: unknown, subject: string): void {
  if (typeof document !== 'object' || document === null) return;
  const seen = new Set<string>();
  for (const name of Object.keys(document)) {
    if (seen.has(name.toLowerCase())) throw malformed(subject, name, 'the field is there in two spellings');
    seen.add(name.toLowerCase());
  }
}

/** @throws TypeError for bytes that are not UTF-8 */
export function decodeUtf8(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
}

/** Go writes an empty list, map or string as `null` as readily as it leaves it out. */
export function absentOr<Schema extends v.GenericSchema>(
  schema: Schema,
): v.SchemaWithPipe<
  readonly [
    v.NullishSchema<Schema, undefined>,
    v.TransformAction<v.InferOutput<Schema> | null | undefined, v.InferOutput<Schema> | undefined>,
  ]
> {
  return v.pipe(
    v.nullish(schema),
    v.transform((value) => value ?? undefined),
  );
}
