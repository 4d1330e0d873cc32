import type { ArchiveWorkers } from '@layerstore/archive';
import type { Logger } from '@layerstore/core';
import type { GraphDriver, LayerViews } from '@layerstore/drivers';
import type { Mounter } from '@layerstore/linux';
import type { MetaDatabase } from './database/meta-database.js';
import type { RootPaths } from './root.js';

/** What the parts of an open store share. The dear ones are made when first asked for: listing images needs none of them. */
export interface StoreContext {
  readonly paths: RootPaths;
  readonly driverName: string;
  readonly database: MetaDatabase;
  readonly logger: Logger;
  /** Opens the driver: probes the kernel and the file system once. */
  driver(): Promise<GraphDriver>;
  mounter(): Promise<Mounter>;
  views(): Promise<LayerViews>;
  workers(): Promise<ArchiveWorkers>;
}
