/**
 * The entry of the process that holds the mount of a repository. Whoever starts it sends one message and hears when the mount can be used; it
 * outlives that process, and ends when the kernel has let go of the mount.
 */
import { once } from 'node:events';
import { toErrorRecord } from '@layerstore/core';
import { Keeper } from '../file-system/keeper.js';
import { KeeperPaths } from '../file-system/keeper-paths.js';
import { KeeperSocket } from '../file-system/keeper-socket.js';
import { fileLogger } from '../file-system/log-file.js';
import type { KeeperReport, KeeperStart } from '../file-system/messages.js';

function report(message: KeeperReport): void {
  process.send?.(message, () => process.disconnect());
}

const [start] = (await once(process, 'message')) as [KeeperStart];
const logger = fileLogger(start.logFile, start.configuration.name);
let socket: KeeperSocket | undefined;
try {
  const keeper = await Keeper.start(start, logger, () => socket?.close());
  socket = await KeeperSocket.listen(keeper, new KeeperPaths(start.directory).socket);
  report({ kind: 'ready' });
} catch (error) {
  report({ kind: 'failed', error: toErrorRecord(error) });
}
