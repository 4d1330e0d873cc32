import { readFileSync } from 'node:fs';
import { Option, type Command } from 'commander';
import { fromSystemError, type Logger } from '@layerstore/core';
import type { Repository, RepositoryConfiguration, Revision, RevisionChoice } from '@layerstore/cvmfs';
import { usageError } from '../../failures.js';
import { collect } from '../../global-options.js';
import type { Operation, Session } from '../../session.js';

/** Options of every command that reads a repository. */
export interface RepositoryOptions {
  readonly server?: readonly string[];
  readonly proxy?: string;
  readonly key?: readonly string[];
  readonly cache?: string;
  readonly config?: string;
  readonly tag?: string;
  readonly rootHash?: string;
}

const heading = 'Repository options:';

export function addRepositoryOptions(command: Command): Command {
  const options = [
    new Option(
      '--server <url>',
      'root of the repository on a server; may be repeated (default: as configured)',
    ).argParser(collect),
    new Option('--proxy <list>', 'proxies as in CVMFS_HTTP_PROXY: `http://a:3128|http://b:3128;DIRECT`'),
    new Option('--key <file>', 'public master key, PEM; may be repeated (default: as configured)').argParser(collect),
    new Option(
      '--cache <dir>',
      'directory of the object cache (default: as configured, or /var/cache/layerstore/cvmfs)',
    ),
    new Option('--config <dir>', 'configuration of the standard client (default: /etc/cvmfs)'),
    new Option('--tag <name>', 'the revision with this tag (default: the newest)').conflicts('rootHash'),
    new Option('--root-hash <hash>', 'the revision with this root catalog'),
  ];
  for (const option of options) command.addOption(option.helpGroup(heading));
  return command;
}

/** `sw.example.org:/path` -> both; without a path the root. */
export function splitTarget(target: string): { readonly name: string; readonly path: string } {
  const colon = target.indexOf(':');
  if (colon < 0) return { name: target, path: '/' };
  const path = target.slice(colon + 1);
  return { name: target.slice(0, colon), path: path.startsWith('/') ? path : `/${path}` };
}

export interface OpenedRepository {
  readonly repository: Repository;
  readonly operation: Operation;
  /** Opens the revision that the options name. */
  readonly revision: () => Promise<Revision>;
}

/** Opens the repository that the options describe, for the time of `work`. */
export async function withRepository<T>(
  command: Command,
  session: Session,
  name: string,
  work: (opened: OpenedRepository) => Promise<T>,
): Promise<T> {
  return session.withDisplay(command, {}, async (operation, globalOptions) => {
    const { Repository } = await import('@layerstore/cvmfs');
    const logger = session.logger(globalOptions);
    const { configuration, choice } = await describedRepository(command, name, logger);
    await using repository = await Repository.open({ configuration, logger });
    return await work({ repository, operation, revision: () => repository.revision(choice, operation) });
  });
}

/** How a repository is reached, and which revision of it is meant, by the options and the machine's configuration. */
export async function describedRepository(
  command: Command,
  name: string,
  logger: Logger,
): Promise<{ readonly configuration: RepositoryConfiguration; readonly choice: RevisionChoice | undefined }> {
  const { parseHash, readConfiguration } = await import('@layerstore/cvmfs');
  const options = command.opts<RepositoryOptions>();
  const configured = readConfiguration(name, {
    logger,
    ...(options.config === undefined ? {} : { directory: options.config }),
  });
  const rootCatalog = options.rootHash === undefined ? undefined : parseHash(options.rootHash);
  if (options.rootHash !== undefined && rootCatalog === undefined)
    throw usageError(`--root-hash ${options.rootHash}: not a hash`);
  const choice = choiceOf(options.tag, rootCatalog) ?? configured.revision;
  return { configuration: withOptions(configured, options), choice };
}

function choiceOf(
  tag: string | undefined,
  rootCatalog: Extract<RevisionChoice, { kind: 'root-hash' }>['rootCatalog'] | undefined,
): RevisionChoice | undefined {
  if (rootCatalog !== undefined) return { kind: 'root-hash', rootCatalog };
  return tag === undefined ? undefined : { kind: 'tag', tag };
}

function withOptions(configured: RepositoryConfiguration, options: RepositoryOptions): RepositoryConfiguration {
  const { server, proxy, key, cache } = options;
  return {
    ...configured,
    ...(server === undefined ? {} : { servers: server }),
    ...(proxy === undefined ? {} : { proxies: proxy.split(';').map((group) => group.split('|')) }),
    ...(key === undefined ? {} : { masterKeys: key.map(readKeyFile) }),
    ...(cache === undefined ? {} : { cacheDirectory: cache }),
  };
}

function readKeyFile(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw fromSystemError(error, path);
  }
}
