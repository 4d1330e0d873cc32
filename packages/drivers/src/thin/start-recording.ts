import { StoreError, type LayerId } from '@layerstore/core';
import type { GraphDriver } from '../driver.js';
import type { AccessedFiles, AccessRecorder, LayerSource } from './layer-source.js';
import type { ThinEntry } from './thin-file.js';
import type { OpenRepositories } from './view-uses.js';

/** A driver that notes what programs read from repositories. */
export interface StartRecorder {
  /**
   * Notes from now on which files a program reads that works in a mounted view. Whoever else reads from the same layers meanwhile is noted as well.
   * @throws StoreError ERR_NOT_SUPPORTED for a layer that shows nothing of a repository, and where repositories do not tell
   */
  recordStart(id: LayerId): Promise<StartRecording>;
}

export interface StartRecording {
  /** Keeps what was read beside the layer under the view: the next view over that layer has it fetched ahead. @returns the number of files */
  finish(): Promise<number>;
}

export function recordsStarts(driver: GraphDriver): driver is GraphDriver & StartRecorder {
  return 'recordStart' in driver;
}

/** What is read of a view's repositories while it is recorded. */
export class ReadFiles {
  private constructor(
    private readonly recorder: AccessRecorder,
    private readonly open: OpenRepositories,
  ) {}

  static async record(source: LayerSource, open: OpenRepositories, subject: LayerId): Promise<ReadFiles> {
    const { recorder } = source;
    if (recorder === undefined) {
      throw new StoreError('ERR_NOT_SUPPORTED', `cvmfsMountMethod=${source.method} does not tell what is read`, {
        subject,
        hint: 'leave the option out: layerstore has a client of its own',
      });
    }
    for (const repository of open.keys()) await recorder.record(repository);
    return new ReadFiles(recorder, open);
  }

  /** @param entries the layers that the view shows: what others read elsewhere in the repository is left out */
  async end(entries: readonly ThinEntry[]): Promise<Record<string, AccessedFiles>> {
    const lists: Record<string, AccessedFiles> = {};
    for (const [repository, { revision }] of this.open) {
      if (revision === undefined) continue;
      const layers = entries.filter((entry) => entry.repository === repository).map(({ path }) => `${path}/`);
      const paths = await this.recorder.recorded(repository, revision);
      lists[repository] = paths.filter((path) => layers.some((layer) => path.startsWith(layer))).sort();
    }
    return lists;
  }
}
