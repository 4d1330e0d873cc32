import type { Command } from 'commander';
import type { Session } from '../../session.js';
import { eachName } from '../each-name.js';
import { addExamples } from '../help-text.js';
import { mountPoint } from './mount.js';

export function define(command: Command, session: Session): void {
  command
    .description(
      'Unmount revisions that `layerstore cvmfs mount` mounted. The last one of a repository ends its server.',
    )
    .argument('<DIRECTORY...>', 'where they are mounted')
    .action(async (directories: readonly string[]) => {
      const { unmountDirectory } = await import('@layerstore/cvmfs');
      await eachName(session, directories, async (directory) => {
        const target = mountPoint(directory);
        await unmountDirectory(target);
        session.print(target);
      });
    });
  addExamples(command, [['layerstore cvmfs unmount /mnt/sw', 'the counterpart of `layerstore cvmfs mount`']]);
}
