import type { FamilyVerb } from '../../catalogue.js';

/** The verbs of `layerstore thin`. */
export const thinVerbs: readonly FamilyVerb[] = [
  { name: 'record', summary: 'Record what a start reads, to fetch it ahead', load: () => import('./record.js') },
];
