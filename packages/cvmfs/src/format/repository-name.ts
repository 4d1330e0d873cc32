import { StoreError } from '@layerstore/core';

const LONGEST = 255;

/**
 * Checks the fully qualified name of a repository (`sw.example.org`): it becomes part of URLs and of paths.
 * @throws StoreError ERR_INVALID_ARGUMENT
 */
export function checkRepositoryName(name: string): string {
  if (name.length <= LONGEST && /^[A-Za-z0-9](?:[A-Za-z0-9_-]*)(?:\.[A-Za-z0-9_-]+)*$/.test(name)) return name;
  throw new StoreError('ERR_INVALID_ARGUMENT', 'not the name of a repository', {
    subject: name.slice(0, LONGEST),
    hint: 'a repository is named like a host: sw.example.org',
  });
}

/** The first label, `@org@` in server URLs. */
export function organisationOf(name: string): string {
  return name.split('.')[0] ?? name;
}
