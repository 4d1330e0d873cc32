import type { Command } from 'commander';
import { humanSize } from '../output/sizes.js';
import type { Session } from '../session.js';
import { addExamples } from './help-text.js';

interface PruneCommandOptions {
  readonly all?: true;
  readonly dryRun?: true;
  readonly quiet?: true;
  readonly json?: true;
}

export function define(command: Command, session: Session): void {
  command
    .description(
      'Remove what nothing needs: images without a name that no container uses, layers that no image uses, and leftovers of ' +
        'interrupted work. Safe beside other processes.',
    )
    .option('-a, --all', 'also remove images that have names but no container')
    .option('-n, --dry-run', 'remove nothing, show what would go')
    .option('-q, --quiet', 'print nothing')
    .option('--json', 'print the report as JSON')
    .action(async (options: PruneCommandOptions) =>
      session.withStore(
        command,
        async (store, operation) => {
          const report = await store.prune({
            ...operation,
            ...(options.all === true ? { all: true } : {}),
            ...(options.dryRun === true ? { dryRun: true } : {}),
          });
          if (options.json === true) session.printJson(report);
          else if (options.quiet !== true) {
            const would = options.dryRun === true;
            const verb = would ? 'Would delete' : 'Deleted';
            session.print(
              ...report.images.map((id) => `${verb} image: ${id}`),
              ...report.layers.map((id) => `${verb} layer: ${id}`),
              ...(report.staging === 0 ? [] : [`${verb} leftovers: ${report.staging}`]),
              `${would ? 'Reclaimable' : 'Reclaimed'} space: ${humanSize(report.reclaimed)}`,
            );
          }
        },
        { progress: options.quiet !== true },
      ),
    );
  addExamples(command, [
    ['layerstore prune', 'after interrupted work, or from time to time'],
    ['layerstore prune --all --dry-run', 'what would go if only containers counted'],
  ]);
}
