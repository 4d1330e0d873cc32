import { Option, type Command } from 'commander';
import type { NewTag, PublisherKeys } from '@layerstore/cvmfs';

/** Options of every command that signs. */
export interface PublisherCommandOptions {
  readonly keys: string;
  readonly directory: string;
  readonly name: string;
  readonly tag?: string;
}

export function addPublisherOptions(command: Command): Command {
  return command
    .addOption(new Option('--name <repository>', 'fully qualified name, images.example.org').makeOptionMandatory())
    .addOption(
      new Option('--directory <dir>', 'root of the repository, as a web server gives it').makeOptionMandatory(),
    )
    .addOption(new Option('--keys <dir>', 'directory of its keys').makeOptionMandatory());
}

export async function publisherKeys({ keys, name }: PublisherCommandOptions): Promise<PublisherKeys> {
  const { PublisherKeys } = await import('@layerstore/cvmfs');
  return new PublisherKeys(keys, name);
}

export function newTag({ tag }: PublisherCommandOptions): { readonly tag?: NewTag } {
  return tag === undefined ? {} : { tag: { name: tag } };
}
