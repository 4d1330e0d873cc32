import type { FamilyVerb } from '../../catalogue.js';

const reading = 'Look:';
const views = 'Mount:';
const building = 'Build:';

/** The verbs of `layerstore layer`. */
export const layerVerbs: readonly FamilyVerb[] = [
  { name: 'ls', summary: 'List layers', group: reading, load: () => import('./ls.js') },
  { name: 'info', summary: 'Show facts about a home and its driver', group: reading, load: () => import('./info.js') },
  {
    name: 'inspect',
    summary: 'Show all there is to know of layers',
    group: reading,
    load: () => import('./inspect.js'),
  },
  { name: 'size', summary: 'Measure what a layer adds', group: reading, load: () => import('./size.js') },
  { name: 'changes', summary: 'List what a layer changed', group: reading, load: () => import('./changes.js') },
  { name: 'diff', summary: "Write a layer's changes as a tar", group: reading, load: () => import('./diff.js') },
  {
    name: 'mount',
    summary: "Mount a layer's view and print its path",
    group: views,
    load: () => import('./mount.js'),
  },
  {
    name: 'unmount',
    aliases: ['umount'],
    summary: 'Unmount layers',
    group: views,
    load: () => import('./unmount.js'),
  },
  { name: 'create', summary: 'Make an empty layer', group: building, load: () => import('./create.js') },
  {
    name: 'apply',
    summary: 'Unpack a layer tar into an empty layer',
    group: building,
    load: () => import('./apply.js'),
  },
  { name: 'rm', summary: 'Remove layers', group: building, load: () => import('./rm.js') },
];
