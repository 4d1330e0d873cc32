import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, normalize } from 'node:path';

export interface ServerOptions {
  /** Answers in place of the files; true when it did. `path` is below the repository's root. */
  readonly intercept?: (path: string, response: ServerResponse, request: IncomingMessage) => boolean;
}

/** A real HTTP server on loopback that gives the files of a directory, as web servers of repositories do. */
export class RepositoryServer implements AsyncDisposable {
  readonly requests: string[] = [];

  private constructor(
    private readonly server: Server,
    readonly name: string,
  ) {}

  /** @param directory of the repository, its name the repository's */
  static async start(directory: string, name: string, options: ServerOptions = {}): Promise<RepositoryServer> {
    const server = createServer();
    const started = new RepositoryServer(server, name);
    server.on('request', (request, response) => {
      // What a proxy is asked has the whole URL.
      const path = new URL(request.url ?? '/', 'http://host').pathname.slice(name.length + 2);
      started.requests.push(path);
      if (options.intercept?.(path, response, request) === true) return;
      const file = normalize(join(directory, path));
      try {
        response.end(readFileSync(file));
      } catch {
        response.writeHead(404).end();
      }
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    return started;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get url(): string {
    return `${this.origin}/${this.name}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    this.server.closeAllConnections();
    await closed;
  }
}
