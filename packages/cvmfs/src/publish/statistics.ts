import { statisticsCounters, type StatisticsCounter } from '../format/catalog-schema.js';
import {
  CHUNKED_FILE,
  DIRECTORY,
  EXTERNAL_FILE,
  NESTED_MOUNT_POINT,
  SPECIAL_FILE,
  SYMBOLIC_LINK,
} from '../format/entry-flags.js';

/** What a catalog counts of its own rows, or of all catalogs below it. */
export type Statistics = Record<StatisticsCounter, number>;

export function noStatistics(): Statistics {
  return Object.fromEntries(statisticsCounters.map((counter) => [counter, 0])) as Statistics;
}

export function addStatistics(sum: Statistics, added: Readonly<Statistics>): void {
  for (const counter of statisticsCounters) sum[counter] += added[counter];
}

export interface CountedRow {
  readonly flags: number;
  readonly size: number;
  readonly chunks: number;
  readonly hasAttributes: boolean;
}

/** Counts a row. The root of a nested catalog and its mount point are directories of both catalogs. */
export function countRow(statistics: Statistics, { flags, size, chunks, hasAttributes }: CountedRow): void {
  if (hasAttributes) statistics.xattr += 1;
  if ((flags & NESTED_MOUNT_POINT) !== 0) statistics.nested += 1;
  if ((flags & DIRECTORY) !== 0) statistics.dir += 1;
  else if ((flags & SYMBOLIC_LINK) !== 0) statistics.symlink += 1;
  else if ((flags & SPECIAL_FILE) !== 0) statistics.special += 1;
  else countFile(statistics, flags, size, chunks);
}

function countFile(statistics: Statistics, flags: number, size: number, chunks: number): void {
  statistics.regular += 1;
  statistics.file_size += size;
  if ((flags & CHUNKED_FILE) !== 0) {
    statistics.chunked += 1;
    statistics.chunked_size += size;
    statistics.chunks += chunks;
  }
  if ((flags & EXTERNAL_FILE) !== 0) {
    statistics.external += 1;
    statistics.external_file_size += size;
  }
}
