import type { Command } from 'commander';
import type { HomeLayer } from '@layerstore/store';
import { humanSize } from '../../output/sizes.js';
import { tableLines } from '../../output/table.js';
import type { Session } from '../../session.js';
import { addExamples } from '../help-text.js';
import { addHomeOptions, withHome } from './home-options.js';

interface ListLayersOptions {
  readonly quiet?: true;
  readonly size?: true;
  readonly json?: true;
}

export function define(command: Command, session: Session): void {
  command.description('List the layers of a home by id, what each lies on, and where they are mounted.');
  addHomeOptions(command)
    .option('-q, --quiet', 'print only ids')
    .option('-s, --size', 'measure each layer: bytes of file content that it adds')
    .option('--json', 'print the records as JSON; sizes in bytes')
    .action(async (options: ListLayersOptions) =>
      withHome(command, session, async (home, operation) => {
        const sizes = options.size === true;
        const layers = await home.layers({ ...operation, sizes });
        if (options.json === true) session.printJson(layers);
        else if (options.quiet === true) session.print(...layers.map(({ id }) => id));
        else
          session.print(
            ...tableLines(
              header(sizes),
              layers.map((layer) => row(layer, sizes)),
            ),
          );
      }),
    );
  addExamples(command, [
    ['layerstore layer ls --home /var/lib/docker/overlay2 --read-only', 'the layers of a dockerd, left as they are'],
    ["layerstore layer ls --home ./home --size --json | jq 'map(.size) | add'", 'how much all layers hold'],
  ]);
}

function header(sizes: boolean): string[] {
  return ['LAYER', 'PARENT', ...(sizes ? ['SIZE'] : []), 'MOUNTED AT'];
}

function row({ id, parent, size, mountedAt, damaged }: HomeLayer, sizes: boolean): string[] {
  const shownSize = sizes ? [size === undefined ? '' : humanSize(size)] : [];
  return [id, parent ?? '', ...shownSize, damaged === undefined ? (mountedAt ?? '') : `damaged: ${damaged}`];
}
