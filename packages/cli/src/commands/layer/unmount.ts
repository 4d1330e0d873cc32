import type { Command } from 'commander';
import type { Session } from '../../session.js';
import { eachName } from '../each-name.js';
import { addExamples } from '../help-text.js';
import { addHomeOptions, withHome } from './home-options.js';

export function define(command: Command, session: Session): void {
  command
    .description(
      'Unmount views of layers, whoever asked for them. A layer that is not mounted is no error; one in which a program works is, and ' +
        'the program is named. With --read-only only the views that were mounted so are looked for.',
    )
    .argument('<ID...>', 'layers of the home');
  addHomeOptions(command).action(async (ids: readonly string[]) =>
    withHome(command, session, async (home) =>
      eachName(session, ids, async (id) => {
        await home.unmount(id);
        session.print(id);
      }),
    ),
  );
  addExamples(command, [['layerstore layer unmount --home ./home ID', 'the counterpart of `layerstore layer mount`']]);
}
