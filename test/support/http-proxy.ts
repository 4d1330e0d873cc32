/** An HTTP proxy that leads every host to one place, so that registries with any name can be tried on loopback. */
import { once } from 'node:events';
import { createServer, request, type Server } from 'node:http';
import { connect, type AddressInfo } from 'node:net';

export class HttpProxy implements AsyncDisposable {
  /** `CONNECT host:port`, or the method and URL of a plain request. */
  readonly requests: string[] = [];
  readonly authorizations: (string | undefined)[] = [];

  private constructor(private readonly server: Server) {}

  /** @param target `127.0.0.1:PORT` */
  static async start(target: string): Promise<HttpProxy> {
    const [host = '', port = ''] = target.split(':');
    const server = createServer();
    const proxy = new HttpProxy(server);
    server.on('connect', (asked, socket) => {
      proxy.note(`CONNECT ${asked.url ?? ''}`, asked.headers['proxy-authorization']);
      const behind = connect(Number(port), host, () => {
        socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
        behind.pipe(socket).pipe(behind);
      });
      behind.on('error', () => socket.destroy());
      socket.on('error', () => behind.destroy());
    });
    server.on('request', (asked, response) => {
      proxy.note(`${asked.method ?? ''} ${asked.url ?? ''}`, asked.headers['proxy-authorization']);
      const { pathname, search } = new URL(asked.url ?? '');
      const behind = request(
        { host, port, method: asked.method, path: pathname + search, headers: asked.headers },
        (answer) => {
          response.writeHead(answer.statusCode ?? 502, answer.headers);
          answer.pipe(response);
        },
      );
      asked.pipe(behind);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return proxy;
  }

  get host(): string {
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }

  private note(request: string, authorization: string | undefined): void {
    this.requests.push(request);
    this.authorizations.push(authorization);
  }
}
