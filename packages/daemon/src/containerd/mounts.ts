import { StoreError } from '@layerstore/core';
import type { MountPlan, OverlayPlan } from '@layerstore/linux';
import type { SnapshotMount } from '@layerstore/store';
import { idMaps } from './labels.js';

/** A mount as containerd's API has it. */
export interface ApiMount {
  readonly type: string;
  readonly source: string;
  readonly options: string[];
}

/**
 * The mounts of a snapshot, for containerd to perform: nothing is mounted here. Lowers are named by their short symlinks, which lie in one
 * directory: containerd enters it where the options would not fit into a page, and 128 names of 26 letters do.
 */
export function apiMounts({ plan, labels }: SnapshotMount): ApiMount[] {
  const maps = idMaps(labels);
  const mapping = maps === undefined ? [] : [`uidmap=${maps.uidText}`, `gidmap=${maps.gidText}`];
  return [mountOf(plan, mapping)];
}

function mountOf(plan: MountPlan, mapping: readonly string[]): ApiMount {
  switch (plan.kind) {
    case 'directory':
      return { type: 'bind', source: plan.path, options: [...mapping, 'rw', 'rbind'] };
    case 'bind':
      return { type: 'bind', source: plan.source, options: [...mapping, plan.readOnly ? 'ro' : 'rw', 'rbind'] };
    case 'overlay':
      return { type: 'overlay', source: 'overlay', options: [...mapping, ...overlayOptions(plan)] };
    case 'aufs':
      throw new StoreError('ERR_NOT_SUPPORTED', 'containerd is not served from layers in aufs form', {
        hint: 'use a root with the driver overlay2 or vfs',
      });
  }
}

function overlayOptions({ lowers, options, short, upper }: OverlayPlan): string[] {
  const named = short === undefined ? lowers : short.lowers.map((lower) => `${short.base}/${lower}`);
  const writable = upper === undefined ? [] : [`workdir=${upper.work}`, `upperdir=${upper.path}`];
  return [...options, ...writable, `lowerdir=${named.join(':')}`];
}
