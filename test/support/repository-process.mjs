// A web server for a repository in a process of its own: `node repository-process.mjs DIRECTORY CONTROL`. The file CONTROL holds how it
// answers: a number of milliseconds that every answer waits, or `cut`, which closes every connection. Says its port on stdout.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const [directory, control] = process.argv.slice(2);

const server = createServer(async (request, response) => {
  const how = readFileSync(control, 'utf8').trim();
  if (how === 'cut') {
    request.socket.destroy();
    return;
  }
  await delay(Number(how));
  try {
    response.end(readFileSync(join(directory, new URL(request.url, 'http://host').pathname)));
  } catch {
    response.writeHead(404).end();
  }
});
server.listen(0, '127.0.0.1', () => process.stdout.write(`${server.address().port}\n`));
