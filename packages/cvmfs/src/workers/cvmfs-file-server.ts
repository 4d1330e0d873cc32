/**
 * The entry of the process that a keeper starts for a mount. It ends when the mount has gone; when the keeper has gone it serves on until then.
 */
import { toErrorRecord } from '@layerstore/core';
import { FileServer } from '../file-system/file-server.js';
import { fileLogger } from '../file-system/log-file.js';
import type { ServerAnswer, ServerRequest, ServerValue } from '../file-system/messages.js';

let server: FileServer | undefined;

async function perform(request: ServerRequest): Promise<ServerValue> {
  if (request.kind === 'start') {
    const logger = fileLogger(request.start.logFile, request.start.configuration.name);
    server = await FileServer.start(request.start, logger, (error) => {
      logger.error({ error: toErrorRecord(error) }, 'a thread of the file server failed; another server is started');
      // The other threads sit in calls that only the end of the process interrupts.
      process.kill(process.pid, 'SIGKILL');
    });
    // The channel must not keep the process alive when the mount has gone.
    process.channel?.unref();
    return undefined;
  }
  if (server === undefined) return undefined;
  switch (request.kind) {
    case 'resolve':
      return server.resolve(request.choice);
    case 'pin':
      server.pin(request.revision);
      return undefined;
    case 'unpin':
      server.unpin(request.rootHash);
      return undefined;
    case 'record':
      server.record();
      return undefined;
    case 'recorded':
      return server.recorded(request.rootHash);
    case 'prefetch':
      server.prefetch(request.rootHash, request.paths);
      return undefined;
  }
}

function answer(message: ServerAnswer): void {
  if (process.connected) process.send?.(message);
}

process.on('message', (request: ServerRequest) => {
  const { id } = request;
  perform(request).then(
    (value) => answer({ id, value }),
    (error: unknown) => answer({ id, error: toErrorRecord(error) }),
  );
});
