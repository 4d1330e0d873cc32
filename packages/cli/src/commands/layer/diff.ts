import type { Command } from 'commander';
import { usageError } from '../../failures.js';
import type { Session } from '../../session.js';
import { archiveTarget } from '../archive-target.js';
import { addExamples } from '../help-text.js';
import { addHomeOptions, addParentOptions, comparedWith, withHome, type ParentOptions } from './home-options.js';

interface DiffOptions extends ParentOptions {
  readonly output?: string;
  readonly quiet?: true;
  readonly json?: true;
}

export function define(command: Command, session: Session): void {
  command
    .description(
      'Write what a layer changed as an uncompressed layer tar: whiteouts in the form of OCI images, exact times and owners. Its ' +
        'sha256 is the diff ID of the layer.',
    )
    .argument('<ID>', 'a layer of the home');
  addParentOptions(addHomeOptions(command))
    .option('-o, --output <file>', 'file to write; - or nothing is stdout')
    .option('-q, --quiet', 'show no progress')
    .option('--json', 'with -o: print { "digest": ..., "size": bytes }')
    .action(async (id: string, options: DiffOptions) => {
      const target = archiveTarget(options.output);
      if (options.json === true && 'fd' in target) throw usageError('--json needs -o: the tar goes to stdout');
      await withHome(
        command,
        session,
        async (home, operation) => {
          const { digest, size } = await home.diff(id, target, { ...operation, ...comparedWith(options) });
          if (options.json === true) session.printJson({ digest, size });
        },
        { progress: options.quiet !== true },
      );
    });
  addExamples(command, [
    ['layerstore layer diff --home /var/lib/docker/overlay2 --read-only ID -o layer.tar', 'one layer of a dockerd'],
    ['layerstore layer diff --home ./home --no-parent ID | layerstore import - flat:1', 'a whole view, as an image'],
    ['layerstore layer diff --home ./a ID | layerstore layer apply --home ./b ID', 'copy a layer to another home'],
  ]);
}
