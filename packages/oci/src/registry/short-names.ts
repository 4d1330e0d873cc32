import { StoreError } from '@layerstore/core';
import { canonicalName, parseReference, withDefaultTag, type Reference } from '../reference.js';
import type { ShortNames } from './options.js';

/**
 * The complete references that a name may stand for, in the order in which they are tried.
 *
 * Without `shortNames` as docker reads it: `debian` is `docker.io/library/debian`. With them as podman does (containers-registries.conf(5),
 * "SHORT-NAME ALIASING"): an alias decides alone; otherwise the name is looked for in each search registry. Names with a registry in them
 * are what they are in both.
 * @throws StoreError ERR_INVALID_REFERENCE, also when there is no registry to search
 */
export function shortNameCandidates(text: string, shortNames?: ShortNames): Reference[] {
  const docker = withDefaultTag(parseReference(text));
  if (shortNames === undefined || namesRegistry(text)) return [docker];
  const { name, rest } = splitName(text);
  const alias = Object.hasOwn(shortNames.aliases, name) ? shortNames.aliases[name] : undefined;
  if (alias !== undefined) return [withDefaultTag(parseReference(`${alias}${rest}`))];
  if (shortNames.searchRegistries.length === 0) {
    throw new StoreError('ERR_INVALID_REFERENCE', 'a short name without an alias, and there is no registry to search', {
      subject: text,
      hint: `write it in full, for example ${canonicalName(docker)}`,
    });
  }
  return shortNames.searchRegistries.map((registry) => withDefaultTag(parseReference(`${registry}/${text}`)));
}

function namesRegistry(text: string): boolean {
  const slash = text.indexOf('/');
  const first = text.slice(0, Math.max(slash, 0));
  return slash > 0 && (/[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase());
}

/** `name` of an alias has neither tag nor digest. */
function splitName(text: string): { name: string; rest: string } {
  const at = /[:@]/.exec(text)?.index ?? text.length;
  return { name: text.slice(0, at), rest: text.slice(at) };
}
