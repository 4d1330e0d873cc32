import type { Command } from 'commander';
import { usageError } from '../../failures.js';
import type { Session } from '../../session.js';
import { addExamples } from '../help-text.js';
import { addRepositoryOptions, splitTarget, withRepository } from './repository-options.js';

interface WriteFilesOptions {
  readonly json?: true;
}

export function define(command: Command, session: Session): void {
  command
    .description(
      'Write files of a CernVM-FS repository to stdout, one after the other. Every byte was verified against the signed catalog before it is written.',
    )
    .argument('<REPOSITORY:PATH>', 'fully qualified name of the repository, and the path of a file in it')
    .argument('[PATH...]', 'further files of the same repository')
    .option('--json', 'print where the bytes of each file are stored, instead of the bytes');
  addRepositoryOptions(command).action(
    async (target: string, further: readonly string[], options: WriteFilesOptions) => {
      const { name, path } = splitTarget(target);
      if (path === '/')
        throw usageError(`${target}: no file is named`, 'give the path behind a colon: REPOSITORY:/path');
      await withRepository(command, session, name, async ({ repository, operation, revision }) => {
        const { answered, findEntry, readContent } = await import('@layerstore/cvmfs');
        using opened = await revision();
        const files = [];
        for (const wanted of [path, ...further]) files.push(await findEntry(opened, wanted, operation));
        if (options.json === true) {
          const contents = [];
          for (const file of files) {
            const content = await answered(opened, () => opened.content(file), operation);
            contents.push({ path: file.path.toString('utf8'), size: file.size, content });
          }
          session.printJson(contents);
          return;
        }
        for (const file of files) {
          for await (const piece of readContent(opened, repository.objects, file, operation)) session.write(piece);
        }
      });
    },
  );
  addExamples(command, [
    ['layerstore cvmfs cat sw.example.org:/etc/os-release', 'print a file of the newest revision'],
    ['layerstore cvmfs cat --tag stable sw.example.org:/data.tar | tar -t', 'pipe one of a named revision'],
  ]);
}
