import type { Command } from 'commander';
import { addExamples } from './help-text.js';

export function define(command: Command): void {
  command
    .usage('[options] COMMAND ...')
    .description(
      'Work with the layers of a driver home: a directory that dockerd, podman or layerstore keeps layers in. No layerstore root is needed. ' +
        'With --read-only not a byte of the home changes, so also a dead, damaged or foreign one can be looked into.',
    );
  addExamples(command, [
    ['layerstore layer ls --home /mnt/old/docker/overlay2 --read-only', 'the layers of an old data root'],
    ['layerstore layer mount --home /mnt/old/docker/overlay2 --read-only ID', 'look at the files of one'],
    ['layerstore layer diff --home /mnt/old/docker/overlay2 --read-only ID -o layer.tar', 'save one'],
  ]);
}
