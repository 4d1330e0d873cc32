import type { Command } from 'commander';
import type { Entry, Tag } from '@layerstore/cvmfs';
import { modeText } from '../../output/modes.js';
import { printableBytes } from '../../output/printable.js';
import { tableLines } from '../../output/table.js';
import type { Session } from '../../session.js';
import { addExamples } from '../help-text.js';
import { addRepositoryOptions, splitTarget, withRepository } from './repository-options.js';

interface ListFilesOptions {
  readonly long?: true;
  readonly recursive?: true;
  readonly tags?: true;
  readonly json?: true;
}

export function define(command: Command, session: Session): void {
  command
    .description(
      'List a directory of a CernVM-FS repository, or one file. Nothing is mounted: only catalogs are fetched, and kept in the cache.',
    )
    .argument('<REPOSITORY[:PATH]>', 'fully qualified name of the repository, and a path in it (default: its root)')
    .option('-l, --long', 'also mode, links, owner, size and time, and where links lead')
    .option('-R, --recursive', 'also everything below')
    .option('--tags', 'list the named revisions instead')
    .option('--json', 'print the records as JSON; sizes in bytes');
  addRepositoryOptions(command).action(async (target: string, options: ListFilesOptions) => {
    const { name, path } = splitTarget(target);
    await withRepository(command, session, name, async ({ repository, operation, revision }) => {
      if (options.tags === true) {
        printTags(session, await repository.tags(operation), options);
        return;
      }
      const { findEntry, listEntries, walkEntries } = await import('@layerstore/cvmfs');
      using opened = await revision();
      const entry = await findEntry(opened, path, operation);
      if (options.recursive === true) {
        const entries: Entry[] = [];
        for await (const found of walkEntries(opened, entry, operation)) entries.push(found);
        printEntries(session, entries, 'path', options);
      } else if (entry.type === 'directory') {
        printEntries(session, await listEntries(opened, entry, operation), 'name', options);
      } else printEntries(session, [entry], 'name', options);
    });
  });
  addExamples(command, [
    ['layerstore cvmfs ls sw.example.org', 'the root of the newest revision'],
    ['layerstore cvmfs ls -l --tag stable sw.example.org:/lib', 'a directory of a named one'],
    [
      'layerstore cvmfs ls --server http://host/cvmfs/sw.example.org --key sw.pub sw.example.org',
      'without any configuration',
    ],
    ['layerstore cvmfs ls --tags sw.example.org', 'the named revisions'],
  ]);
}

function printEntries(
  session: Session,
  entries: readonly Entry[],
  shown: 'name' | 'path',
  options: ListFilesOptions,
): void {
  const label = ({ name, path }: Entry): Buffer =>
    shown === 'name' ? name : path.length === 0 ? Buffer.from('/') : path;
  if (options.json === true) session.printJson(entries.map(record));
  else if (options.long === true) session.print(...longLines(entries, label));
  else session.print(...entries.map((entry) => printableBytes(label(entry))));
}

function longLines(entries: readonly Entry[], label: (entry: Entry) => Buffer): string[] {
  const rows = entries.map((entry) => [
    modeText(entry.mode),
    String(entry.nlink),
    String(entry.uid),
    String(entry.gid),
    entry.device === undefined ? String(entry.size) : `${entry.device.major}, ${entry.device.minor}`,
    timeText(entry.mtimeNs),
    printableBytes(label(entry)) + (entry.type === 'symlink' ? ` -> ${printableBytes(entry.link)}` : ''),
  ]);
  return tableLines(['MODE', 'LINKS', 'UID', 'GID', 'SIZE', 'MODIFIED', 'NAME'], rows);
}

/** The stable form of `--json`; what is not UTF-8 is also given in base64. */
function record(entry: Entry): Record<string, unknown> {
  const { path, type, mode, uid, gid, size, mtimeNs, nlink, link, device, isMountPoint } = entry;
  return {
    path: path.length === 0 ? '/' : path.toString('utf8'),
    ...(isText(path) ? {} : { pathBase64: path.toString('base64') }),
    type,
    mode: (mode & 0o7777).toString(8).padStart(4, '0'),
    uid,
    gid,
    size,
    mtimeNs: mtimeNs.toString(),
    nlink,
    ...(type === 'symlink' ? { link: link.toString('utf8') } : {}),
    ...(type !== 'symlink' || isText(link) ? {} : { linkBase64: link.toString('base64') }),
    ...(device === undefined ? {} : { device }),
    nestedCatalog: isMountPoint,
  };
}

const isText = (bytes: Buffer): boolean => Buffer.from(bytes.toString('utf8'), 'utf8').equals(bytes);

function timeText(mtimeNs: bigint): string {
  const date = new Date(Number(mtimeNs / 1_000_000n));
  return Number.isNaN(date.getTime())
    ? `${mtimeNs / 1_000_000_000n}`
    : date.toISOString().slice(0, 19).replace('T', ' ');
}

function printTags(session: Session, tags: readonly Tag[], { json }: ListFilesOptions): void {
  if (json === true) {
    session.printJson(
      tags.map(({ rootCatalog, ...tag }) => ({ ...tag, rootHash: rootCatalog.hex, algorithm: rootCatalog.algorithm })),
    );
    return;
  }
  const rows = tags.map(({ name, revision, timestamp, description }) => [
    name,
    String(revision),
    timeText(BigInt(timestamp) * 1_000_000_000n),
    description,
  ]);
  session.print(...tableLines(['TAG', 'REVISION', 'PUBLISHED', 'DESCRIPTION'], rows));
}
