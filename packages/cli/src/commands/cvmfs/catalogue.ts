import type { FamilyVerb } from '../../catalogue.js';

/** The verbs of `layerstore cvmfs`. */
export const cvmfsVerbs: readonly FamilyVerb[] = [
  { name: 'ls', summary: 'List the files of a repository', load: () => import('./ls.js') },
  { name: 'cat', summary: 'Write files of a repository to stdout', load: () => import('./cat.js') },
  { name: 'mount', summary: 'Mount a revision of a repository', load: () => import('./mount.js') },
  { name: 'unmount', summary: 'Unmount revisions', load: () => import('./unmount.js') },
];
