/** A registry in this process that does what a test wants of it, also what no honest one does. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { sha256 } from './image.js';
import type { TestCertificate } from './docker-registry.js';

export interface ScriptedRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
}

/** Answers in place of the registry; `false` lets it answer itself. */
export type Script = (request: ScriptedRequest, response: ServerResponse) => boolean | Promise<boolean>;

export interface ScriptedImage {
  /** Of the manifest. */
  readonly digest: string;
  readonly id: string;
  readonly layers: readonly { readonly digest: string; readonly bytes: Buffer; readonly diffId: string }[];
}

export const types = {
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
} as const;

export class ScriptedRegistry implements AsyncDisposable {
  readonly blobs = new Map<string, Buffer>();
  /** By tag and by digest. */
  readonly manifests = new Map<string, { readonly bytes: Buffer; readonly type: string }>();
  readonly requests: ScriptedRequest[] = [];
  script: Script = () => false;

  private constructor(
    private readonly server: Server,
    private readonly address: string,
  ) {
    server.on('request', (request: IncomingMessage, response: ServerResponse) => void this.answer(request, response));
  }

  static async start(options: { tls?: TestCertificate; address?: string } = {}): Promise<ScriptedRegistry> {
    const { tls, address = '127.0.0.1' } = options;
    const server =
      tls === undefined
        ? createHttpServer()
        : createHttpsServer({ cert: readFileSync(tls.certificate), key: readFileSync(tls.key) });
    const registry = new ScriptedRegistry(server, address);
    server.listen(0, address);
    await once(server, 'listening');
    return registry;
  }

  get host(): string {
    return `${this.address}:${(this.server.address() as AddressInfo).port}`;
  }

  /** Paths that were asked for, without `/v2/`. */
  get paths(): string[] {
    return this.requests.map(({ url }) => url.replace(/^\/v2\//, ''));
  }

  /** Adds an image of gzip layers made of the given tars. */
  addImage(tag: string, tars: readonly Buffer[], extra: { config?: object; manifest?: object } = {}): ScriptedImage {
    const layers = tars.map((tar) => {
      const bytes = gzipSync(tar);
      return { digest: this.addBlob(bytes), bytes, diffId: `sha256:${sha256(tar)}` };
    });
    const config = Buffer.from(
      JSON.stringify({
        architecture: 'amd64',
        os: 'linux',
        rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
        ...extra.config,
      }),
    );
    const manifest = {
      schemaVersion: 2,
      mediaType: types.manifest,
      config: { mediaType: types.config, digest: this.addBlob(config), size: config.length },
      layers: layers.map(({ digest, bytes }) => ({ mediaType: types.layer, digest, size: bytes.length })),
      ...extra.manifest,
    };
    const digest = this.addManifest(tag, manifest, types.manifest);
    return { digest, id: `sha256:${sha256(config)}`, layers };
  }

  addManifest(tag: string, document: object, type: string): string {
    const bytes = Buffer.from(JSON.stringify(document));
    const digest = `sha256:${sha256(bytes)}`;
    this.manifests.set(tag, { bytes, type });
    this.manifests.set(digest, { bytes, type });
    return digest;
  }

  addBlob(bytes: Buffer): string {
    const digest = `sha256:${sha256(bytes)}`;
    this.blobs.set(digest, bytes);
    return digest;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const asked = { method: request.method ?? '', url: request.url ?? '', headers: request.headers };
    this.requests.push(asked);
    response.on('error', () => undefined);
    if (await this.script(asked, response)) return;
    const [, kind, name = ''] = /\/(manifests|blobs)\/([^/?]+)$/.exec(asked.url) ?? [];
    const manifest = kind === 'manifests' ? this.manifests.get(name) : undefined;
    const bytes = manifest?.bytes ?? (kind === 'blobs' ? this.blobs.get(name) : undefined);
    if (asked.url === '/v2/') response.writeHead(200).end('{}');
    else if (bytes === undefined) {
      const code = kind === 'manifests' ? 'MANIFEST_UNKNOWN' : 'BLOB_UNKNOWN';
      response.writeHead(404).end(JSON.stringify({ errors: [{ code, message: `${name} is not here` }] }));
    } else this.send(asked, response, bytes, manifest?.type ?? 'application/octet-stream');
  }

  private send(request: ScriptedRequest, response: ServerResponse, bytes: Buffer, type: string): void {
    const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const part = bytes.subarray(start);
    response.writeHead(start === 0 ? 200 : 206, {
      'content-type': type,
      'content-length': part.length,
      ...(start === 0 ? {} : { 'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` }),
    });
    response.end(request.method === 'HEAD' ? undefined : part);
  }
}
