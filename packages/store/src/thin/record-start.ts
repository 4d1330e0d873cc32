import { StoreError } from '@layerstore/core';
import { recordsStarts } from '@layerstore/drivers';
import { createContainer } from '../containers/create.js';
import { mountContainer } from '../containers/mount.js';
import { removeContainer } from '../containers/remove.js';
import { runInContainer, type RunOptions } from '../containers/run.js';
import type { StoreContext } from '../context.js';

export interface RecordedStart {
  /** Files of repositories that were read. */
  readonly files: number;
  /** Of the program. */
  readonly exitCode: number;
}

/**
 * Runs a program in a throw-away container of a thin image, and keeps the list of the files that it read from repositories beside the image: each
 * later view over the image has them fetched ahead. A list that was kept before is replaced, whatever the program's end.
 * @throws StoreError ERR_IMAGE_NOT_FOUND, ERR_NOT_SUPPORTED for an image that is not thin, and without thin support
 */
export async function recordStart(
  context: StoreContext,
  image: string,
  command: readonly string[],
  options: RunOptions,
): Promise<RecordedStart> {
  const driver = await context.driver();
  if (!recordsStarts(driver)) {
    throw new StoreError('ERR_NOT_SUPPORTED', 'thin images are not switched on', {
      subject: image,
      hint: 'give --storage-opt thin.enabled=true',
    });
  }
  const container = await createContainer(context, image, { kind: 'container' });
  try {
    await using _view = await mountContainer(context, container.id, 'process', options.signal);
    const recording = await driver.recordStart(container.cacheId);
    const { exitCode } = await runInContainer(context, container.id, command, options);
    return { files: await recording.finish(), exitCode };
  } finally {
    await removeContainer(context, container.id, { force: true });
  }
}
