/** Everything that {@link Snapshots} does, loaded with the first use: listing images needs none of it. */
export { adoptLayer } from './adopt.js';
export { commitSnapshot } from './commit.js';
export { snapshotMount } from './mounts.js';
export { orphanedSnapshots } from './orphans.js';
export { prepareSnapshot } from './prepare.js';
export { recoverSnapshots } from './recover.js';
export { removeSnapshot } from './remove.js';
export { listSnapshots, requireSnapshot, snapshotSummary } from './snapshot-records.js';
export { updateSnapshot } from './update.js';
export { SnapshotWriter } from './writer.js';
