// A server with fixed answers, for other network namespaces: `node answering-server.mjs '{"address": ..., "answers": [...]}'`.
// Says `listening` on stdout, then one JSON line for each request.
import { readFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';

const { address, port, tls, answers } = JSON.parse(process.argv[2]);
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

const answer = (request, response) => {
  say({ method: request.method, url: request.url, authorization: request.headers.authorization ?? null });
  const found = answers.find(({ match }) => new RegExp(match).test(request.url));
  const { status = 404, headers = {}, body = '', wants } = found ?? {};
  if (wants !== undefined && request.headers.authorization === undefined) {
    response.writeHead(401, { 'www-authenticate': wants }).end();
    return;
  }
  response.writeHead(status, headers).end(Buffer.from(body, 'base64'));
};
const server = tls
  ? createHttpsServer({ cert: readFileSync(tls.certificate), key: readFileSync(tls.key) }, answer)
  : createHttpServer(answer);
server.listen(port, address, () => say('listening'));
