import type { FamilyVerb } from '../../catalogue.js';

/** The verbs of `layerstore thin`. */
export const thinVerbs: readonly FamilyVerb[] = [
  { name: 'record', summary: 'Record what a start reads, to fetch it ahead', load: () => import('./record.js') },
  { name: 'init', summary: 'Make a repository in a directory', load: () => import('./init.js') },
  { name: 'renew', summary: 'Sign the whitelist of a repository anew', load: () => import('./renew.js') },
  { name: 'publish', summary: 'Publish the layers of an image archive', load: () => import('./publish.js') },
  { name: 'make', summary: 'Publish an image and make a thin one of it', load: () => import('./make.js') },
];
