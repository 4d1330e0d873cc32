/** Puts documents and blobs into a real registry by the plainest requests there are: nothing of layerstore is used to test layerstore. */
import { sha256 } from './image.js';

export interface Uploaded {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

export class Uploader {
  /** @param repository with its host: `127.0.0.1:5000/made` */
  constructor(
    private readonly host: string,
    private readonly repository: string,
  ) {}

  async blob(bytes: Buffer, mediaType: string): Promise<Uploaded> {
    const digest = `sha256:${sha256(bytes)}`;
    const started = await fetch(this.url('blobs/uploads/'), { method: 'POST' });
    const place = new URL(started.headers.get('location') ?? '', this.url(''));
    place.searchParams.set('digest', digest);
    await expectStatus(
      201,
      await fetch(place, {
        method: 'PUT',
        body: new Uint8Array(bytes),
        headers: { 'content-type': 'application/octet-stream' },
      }),
    );
    return { mediaType, digest, size: bytes.length };
  }

  async manifest(tag: string | undefined, document: object, mediaType: string): Promise<Uploaded> {
    const bytes = Buffer.from(JSON.stringify(document));
    const digest = `sha256:${sha256(bytes)}`;
    const url = this.url(`manifests/${tag ?? digest}`);
    await expectStatus(201, await fetch(url, { method: 'PUT', body: bytes, headers: { 'content-type': mediaType } }));
    return { mediaType, digest, size: bytes.length };
  }

  private url(path: string): string {
    return `http://${this.host}/v2/${this.repository}/${path}`;
  }
}

async function expectStatus(status: number, response: Response): Promise<void> {
  if (response.status !== status) throw new Error(`${response.url}: ${response.status} ${await response.text()}`);
}
