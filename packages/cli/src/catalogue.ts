import type { Command } from 'commander';
import { cvmfsVerbs } from './commands/cvmfs/catalogue.js';
import { layerVerbs } from './commands/layer/catalogue.js';
import { thinVerbs } from './commands/thin/catalogue.js';
import type { Session } from './session.js';

/** A file of `commands/`: adds description, arguments, options and action to its command. */
export interface CommandModule {
  define(command: Command, session: Session): void;
}

export interface Verb {
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly summary: string;
  readonly group: string;
  load(): Promise<CommandModule>;
}

/** A verb of a family; without a group it stands with the others. */
export type FamilyVerb = Omit<Verb, 'group'> & Partial<Pick<Verb, 'group'>>;

/** A command whose verbs follow it: `layerstore serve docker`, `layerstore layer ls`. */
export interface VerbFamily {
  readonly name: string;
  readonly summary: string;
  readonly group: string;
  readonly verbs: readonly FamilyVerb[];
  /** No layerstore root is opened, and `--root` is no option of the verbs. */
  readonly rootless?: true;
  /** What its help says; without it, the summary. */
  load?(): Promise<CommandModule>;
}

export type CatalogueEntry = Verb | VerbFamily;

const images = 'Images:';
const containers = 'Containers:';
const homes = 'Driver homes, also of other engines:';
const thin = 'Thin images:';
const store = 'Store:';
const engines = 'Engines:';
const other = 'Other:';

/** Every verb, in the order of the help. Its module is read only when the verb is used: start time is what a user feels first. */
export const catalogue: readonly CatalogueEntry[] = [
  { name: 'pull', summary: 'Pull images from registries', group: images, load: () => import('./commands/pull.js') },
  { name: 'push', summary: 'Push an image to a registry', group: images, load: () => import('./commands/push.js') },
  {
    name: 'load',
    summary: 'Load images from an archive or OCI layout',
    group: images,
    load: () => import('./commands/load.js'),
  },
  {
    name: 'import',
    summary: "Make an image from a root file system's tar",
    group: images,
    load: () => import('./commands/import.js'),
  },
  { name: 'images', summary: 'List images', group: images, load: () => import('./commands/images.js') },
  {
    name: 'inspect',
    summary: 'Show all there is to know of images and containers',
    group: images,
    load: () => import('./commands/inspect.js'),
  },
  {
    name: 'history',
    summary: 'Show how an image came to be',
    group: images,
    load: () => import('./commands/history.js'),
  },
  { name: 'tag', summary: 'Give an image a further name', group: images, load: () => import('./commands/tag.js') },
  {
    name: 'save',
    summary: 'Write images as a docker-archive or OCI layout',
    group: images,
    load: () => import('./commands/save.js'),
  },
  { name: 'rmi', summary: 'Remove images', group: images, load: () => import('./commands/rmi.js') },
  {
    name: 'create',
    summary: 'Make a container: a writable layer over an image',
    group: containers,
    load: () => import('./commands/create.js'),
  },
  {
    name: 'mount',
    summary: "Mount a container's view and print its path",
    group: containers,
    load: () => import('./commands/mount.js'),
  },
  {
    name: 'unmount',
    aliases: ['umount'],
    summary: 'Unmount containers',
    group: containers,
    load: () => import('./commands/unmount.js'),
  },
  {
    name: 'diff',
    summary: 'List what a container changed',
    group: containers,
    load: () => import('./commands/diff.js'),
  },
  {
    name: 'commit',
    summary: 'Make an image of a container',
    group: containers,
    load: () => import('./commands/commit.js'),
  },
  {
    name: 'export',
    summary: "Write a container's whole view as a tar",
    group: containers,
    load: () => import('./commands/export.js'),
  },
  { name: 'ps', summary: 'List containers', group: containers, load: () => import('./commands/ps.js') },
  { name: 'rm', summary: 'Remove containers', group: containers, load: () => import('./commands/rm.js') },
  {
    name: 'run',
    summary: 'Run a program in a container or an image',
    group: containers,
    load: () => import('./commands/run.js'),
  },
  {
    name: 'layer',
    summary: 'Work with the layers of a driver home: list, mount, export, build',
    group: homes,
    verbs: layerVerbs,
    rootless: true,
    load: () => import('./commands/layer.js'),
  },
  {
    name: 'cvmfs',
    summary: 'Read CernVM-FS repositories',
    group: thin,
    verbs: cvmfsVerbs,
    rootless: true,
  },
  {
    name: 'thin',
    summary: 'Work with thin images',
    group: thin,
    verbs: thinVerbs,
  },
  { name: 'info', summary: 'Show facts about the store', group: store, load: () => import('./commands/info.js') },
  { name: 'df', summary: 'Show what takes space', group: store, load: () => import('./commands/df.js') },
  {
    name: 'check',
    summary: 'Look for damage and leftovers',
    group: store,
    load: () => import('./commands/check.js'),
  },
  { name: 'prune', summary: 'Remove what nothing needs', group: store, load: () => import('./commands/prune.js') },
  {
    name: 'snapshots',
    summary: "Look at engines' snapshots",
    group: engines,
    verbs: [
      { name: 'ls', summary: 'List snapshots', load: () => import('./commands/snapshots/ls.js') },
      {
        name: 'tree',
        summary: 'Show which snapshot stands on which',
        load: () => import('./commands/snapshots/tree.js'),
      },
      { name: 'usage', summary: 'Show what snapshots take', load: () => import('./commands/snapshots/usage.js') },
      {
        name: 'orphans',
        summary: 'List snapshots that nothing uses',
        load: () => import('./commands/snapshots/orphans.js'),
      },
    ],
  },
  {
    name: 'serve',
    summary: 'Serve layers to an engine',
    group: engines,
    verbs: [
      {
        name: 'docker',
        summary: 'Serve a graph-driver plugin to dockerd',
        load: () => import('./commands/serve/docker.js'),
      },
      {
        name: 'containerd',
        summary: 'Serve snapshots to containerd, and so to Kubernetes, nerdctl and Docker',
        load: () => import('./commands/serve/containerd.js'),
      },
    ],
  },
  {
    name: 'demo',
    summary: 'Show the main job on a real Debian image',
    group: other,
    load: () => import('./commands/demo.js'),
  },
  { name: 'version', summary: 'Print the version', group: other, load: () => import('./commands/version.js') },
  {
    name: 'completion',
    summary: 'Print the completion script of a shell',
    group: other,
    load: () => import('./commands/completion.js'),
  },
];
