import { join } from 'node:path';
import type { LayerId } from '@layerstore/core';
import { syncDirectory, writeFileDurably } from '@layerstore/linux';
import { makeDirectory, setOwnership, type Home } from '../home/home.js';
import { isDirectory, readOptional } from '../home/optional-file.js';
import { formatLower, type LayerRecords } from './layer-records.js';
import { isShortName, randomShortName } from './short-links.js';

interface RestoredLayer {
  /** The short names of the layers under it, uppermost first. */
  readonly lower: readonly string[];
  readonly home: Pick<Home, 'passage' | 'rootOwner'>;
  /** Makes a new `diff`. */
  readonly makeRoot: (diff: string) => void;
}

/**
 * Gives a layer's directory what a power cut took: files that were written without a sync come back empty or not at all.
 */
export function restoreLayer(records: LayerRecords, id: LayerId, { lower, home, makeRoot }: RestoredLayer): void {
  setOwnership(records.directory(id), 0o710, home.passage);
  const diff = records.file(id, 'diff');
  if (!isDirectory(diff)) makeRoot(diff);
  if (lower.length > 0) {
    const work = records.file(id, 'work');
    if (!isDirectory(work)) makeDirectory(work, 0o700, home.rootOwner);
    const text = formatLower(lower);
    if (readOptional(records.file(id, 'lower')) !== text) writeFileDurably(records.file(id, 'lower'), text, 0o644);
  }
  restoreName(records, id);
  syncDirectory(records.directory(id));
}

function restoreName(records: LayerRecords, id: LayerId): void {
  const recorded = records.recordedName(id);
  if (recorded !== undefined && isShortName(recorded)) {
    records.links.require(recorded, id);
    return;
  }
  const linked = records.links.entries().find(([, layer]) => layer === id)?.[0];
  const name = linked ?? randomShortName();
  writeFileDurably(join(records.directory(id), 'link'), name, 0o644);
  records.links.require(name, id);
}
