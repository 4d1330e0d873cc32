// Homes of the drivers, as the measurements use them: stacks of layers that were unpacked from tars.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { ArchiveWorkers } from '@layerstore/archive';
import { driverNames, layerDiffs, LayerViews, openDriver } from '@layerstore/drivers';
import { Mounter } from '@layerstore/linux';

/** @typedef {import('@layerstore/core').LayerId} LayerId */

export { driverNames };

export class MeasuredHome {
  /**
   * @param {import('@layerstore/drivers').GraphDriver} driver
   * @param {{ mounter: Mounter, workers: ArchiveWorkers }} tools
   */
  constructor(driver, tools) {
    this.driver = driver;
    this.tools = tools;
    this.views = new LayerViews(driver, tools.mounter);
    this.diffs = layerDiffs(driver, tools);
  }

  /**
   * @param {string} name of the driver
   * @param {string} directory
   */
  static async open(name, directory) {
    mkdirSync(directory, { recursive: true });
    const tools = { mounter: new Mounter(), workers: new ArchiveWorkers({ threads: 1 }) };
    return new MeasuredHome(await openDriver(name, join(directory, name), tools), tools);
  }

  /**
   * Unpacks one layer over the other.
   * @param {string} prefix of the ids
   * @param {readonly string[]} tars base first
   * @returns {Promise<LayerId | undefined>} the uppermost layer
   */
  async stack(prefix, tars) {
    let parent;
    for (const [index, tar] of tars.entries()) {
      const id = /** @type {LayerId} */ (`${prefix}-${index}`);
      await this.driver.create(id, over(parent));
      await this.diffs.applyDiff(id, { path: tar });
      parent = id;
    }
    return parent;
  }

  async close() {
    await this.tools.workers[Symbol.asyncDispose]();
  }
}

/** @param {LayerId | undefined} parent */
export const over = (parent) => (parent === undefined ? {} : { parent });
