import { workerData } from 'node:worker_threads';
import { serveQueue, type QueueThreadStart } from '../file-system/queue-thread.js';

/** The entry of the threads that `FileServer` starts. */
serveQueue(workerData as QueueThreadStart);
