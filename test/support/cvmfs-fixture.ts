import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const fixture = fileURLToPath(new URL('../fixtures/cvmfs-repo/', import.meta.url));

/** An entry as the standard client shows it; one of `path` and `path_b64` is there. */
export interface ExpectedEntry {
  readonly path?: string;
  readonly path_b64?: string;
  readonly type: string;
  readonly mode: string;
  readonly size: number;
  readonly sha256?: string;
}

/** The repository of the standard publishing tools behind a web server of this process. */
export class CvmfsFixture implements AsyncDisposable {
  static readonly repository = 'amber.example.org';
  static readonly keyFile = join(fixture, `${CvmfsFixture.repository}.pub`);

  private constructor(private readonly server: Server) {}

  /** @param directory takes the repository's files */
  static async serve(directory: string): Promise<CvmfsFixture> {
    execFileSync('tar', ['-xzf', join(fixture, `${CvmfsFixture.repository}.tar.gz`), '-C', directory]);
    const server = createServer((request, response) => {
      try {
        response.end(readFileSync(join(directory, new URL(request.url ?? '', 'http://host').pathname)));
      } catch {
        response.writeHead(404).end();
      }
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    return new CvmfsFixture(server);
  }

  /** @param file `manifest.json`, or `manifest-first.json` of an older tag */
  static expected(file: string): ExpectedEntry[] {
    return (JSON.parse(readFileSync(join(fixture, file), 'utf8')) as { entries: ExpectedEntry[] }).entries;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  get url(): string {
    return `${this.origin}/${CvmfsFixture.repository}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    this.server.closeAllConnections();
    await closed;
  }
}
