import type { Command } from 'commander';
import { usageError } from '../../failures.js';
import type { Session } from '../../session.js';
import { addExamples } from '../help-text.js';
import { addHomeOptions, withHome } from './home-options.js';
import { layerSource } from './layer-source.js';

interface ApplyOptions {
  readonly input?: string;
  readonly quiet?: true;
  readonly json?: true;
}

export function define(command: Command, session: Session): void {
  command
    .description(
      'Unpack a layer tar, plain or compressed, into a layer that is empty so far, and print its diff ID. Members that reach outside the ' +
        'layer are refused; after a failure the layer is empty again (with vfs, remove it).',
    )
    .argument('<ID>', 'an empty layer of the home')
    .argument('[FILE]', 'the tar; - or nothing is stdin');
  addHomeOptions(command)
    .option('-i, --input <file>', 'the same, as `load` has it')
    .option('-q, --quiet', 'show no progress')
    .option('--json', 'print { "diffId": ..., "contentSize": bytes, "entries": ... }')
    .action(async (id: string, file: string | undefined, options: ApplyOptions) => {
      if (file !== undefined && options.input !== undefined)
        throw usageError('FILE and --input name the same thing twice');
      const source = layerSource(file ?? options.input ?? '-');
      await withHome(
        command,
        session,
        async (home, operation) => {
          const { diffId, contentSize, entries } = await home.apply(id, source, operation);
          if (options.json === true) session.printJson({ diffId, contentSize, entries });
          else session.print(diffId);
        },
        { progress: options.quiet !== true },
      );
    });
  addExamples(command, [
    ['layerstore layer apply --home ./home base layer.tar.gz', 'fill a layer that `layer create` made'],
    ['tar -C ./rootfs -c . | layerstore layer apply --home ./home base', 'from a pipe'],
  ]);
}
