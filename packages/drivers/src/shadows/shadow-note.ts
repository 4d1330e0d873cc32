import { replaceFile } from '@layerstore/linux';
import { readOptional } from '../home/optional-file.js';

/** Which shadows a layer has, for which state of the layers. `null`: none is needed; absent: not known. */
export interface ShadowNote {
  /** Of the layer's root, as `layerIdentity` gives it. */
  readonly identity: string;
  readonly above?: string | null;
  readonly below?: { readonly identity: string; readonly name: string | null };
}

/** A note that cannot be read is none: it is made again from the layers. */
export function readShadowNote(file: string): ShadowNote | undefined {
  const text = readOptional(file);
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return isShadowNote(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

export function writeShadowNote(file: string, note: ShadowNote): void {
  replaceFile(file, JSON.stringify(note));
}

function isShadowNote(value: unknown): value is ShadowNote {
  if (typeof value !== 'object' || value === null) return false;
  const { identity, above, below } = value as Partial<Record<keyof ShadowNote, unknown>>;
  return (
    typeof identity === 'string' && (above === undefined || isName(above)) && (below === undefined || isLower(below))
  );
}

function isLower(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { identity, name } = value as { identity?: unknown; name?: unknown };
  return typeof identity === 'string' && isName(name);
}

function isName(value: unknown): boolean {
  return value === null || (typeof value === 'string' && /^[0-9a-f]{40}$/.test(value));
}
