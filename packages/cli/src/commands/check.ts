import type { Command } from 'commander';
import type { Finding } from '@layerstore/store';
import { printable } from '../output/printable.js';
import type { Session } from '../session.js';
import { addExamples } from './help-text.js';

export function define(command: Command, session: Session): void {
  command
    .description(
      'Compare database, driver home, blobs and mounts, and report every disagreement. Changes nothing. Exits with 1 when the ' +
        'store is damaged; leftovers of interrupted work are listed but do no harm.',
    )
    .option('--verify', 'also read every layer and compare it with its diff ID: takes as long as reading all files')
    .option('--json', 'print the report as JSON')
    .action(async (options: { verify?: true; json?: true }) =>
      session.withStore(
        command,
        async (store, operation) => {
          const report = await store.check({ ...operation, ...(options.verify === true ? { verify: true } : {}) });
          session.exitCode = report.sound ? 0 : 1;
          if (options.json === true) {
            session.printJson(report);
            return;
          }
          const { layers, images, containers, snapshots, verified } = report.checked;
          session.print(
            ...report.findings.flatMap((finding) => findingLines('damage', finding)),
            ...report.leftovers.flatMap((finding) => findingLines('leftover', finding)),
            `${report.sound ? 'sound' : 'damaged'} (layers: ${layers}, verified: ${verified}, images: ${images}, containers: ${containers}, snapshots: ${snapshots})`,
          );
        },
        { progress: true },
      ),
    );
  addExamples(command, [
    ['layerstore check', 'quick, after a crash'],
    ['layerstore check --verify && echo all layers are intact', 'thorough, after trouble with a disk'],
  ]);
}

function findingLines(word: string, { kind, subject, problem, remedy }: Finding): string[] {
  return [`${word}: ${kind} ${subject}: ${problem}`, `  ${remedy}`].map(printable);
}
