import { describe, expect, it } from 'vitest';
import { canonicalName } from '../reference.js';
import { shortNameCandidates } from './short-names.js';

const podman = {
  aliases: { fedora: 'registry.fedoraproject.org/fedora', 'team/app': 'quay.io/team/app' },
  searchRegistries: ['registry.example:5000', 'docker.io'],
};
const names = (text: string, shortNames?: typeof podman) => shortNameCandidates(text, shortNames).map(canonicalName);

describe('a name without a registry', () => {
  it.each([
    ['debian', ['docker.io/library/debian:latest']],
    ['team/app:1', ['docker.io/team/app:1']],
    ['quay.io/a/b', ['quay.io/a/b:latest']],
    ['localhost/a', ['localhost/a:latest']],
  ])('%s is read as docker does', (text, expected) => {
    expect(names(text)).toEqual(expected);
  });

  it.each([
    ['fedora', ['registry.fedoraproject.org/fedora:latest']],
    ['fedora:40', ['registry.fedoraproject.org/fedora:40']],
    ['team/app', ['quay.io/team/app:latest']],
    ['debian:12', ['registry.example:5000/debian:12', 'docker.io/library/debian:12']],
    ['quay.io/fedora', ['quay.io/fedora:latest']],
    ['constructor', ['registry.example:5000/constructor:latest', 'docker.io/library/constructor:latest']],
  ])('%s is read as podman does', (text, expected) => {
    expect(names(text, podman)).toEqual(expected);
  });

  it('has to be written in full where nothing is searched', () => {
    expect(() => names('debian', { aliases: podman.aliases, searchRegistries: [] })).toThrow(
      expect.objectContaining({
        code: 'ERR_INVALID_REFERENCE',
        hint: expect.stringContaining('docker.io/library/debian') as string,
      }),
    );
  });
});
