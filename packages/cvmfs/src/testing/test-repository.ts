import { X509Certificate } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { deflateSync } from 'node:zlib';
import { openSqlite } from '@layerstore/sqlite';
import { catalogTables } from '../format/catalog-schema.js';
import { formatHash, hashBytes, type ContentHash, type HashAlgorithm } from '../format/content-hash.js';
import { fingerprintOf } from '../format/fingerprint.js';
import { serialiseManifest, type Manifest } from '../format/manifest.js';
import { objectPath, type ObjectCompression, type ObjectKind } from '../format/object-reference.js';
import { hashPath, noPath } from '../format/path-hash.js';
import { serialiseSignedText } from '../format/signed-text.js';
import { serialiseWhitelist, type Whitelist } from '../format/whitelist.js';
import { MasterKey, PublisherCertificate } from './publisher-keys.js';
import { TemporaryDirectory } from './temporary.js';

/** A row of a catalog, sound or not. */
export interface TestRow {
  /** Absolute; empty for the root. */
  readonly path: string;
  /** Name that is stored in place of the last part of the path. */
  readonly name?: string;
  readonly mode?: number;
  readonly flags?: number;
  readonly size?: number;
  readonly hash?: ContentHash;
  readonly link?: string;
}

export interface TestCatalog {
  readonly prefix?: string;
  readonly rows: readonly TestRow[];
  readonly nested?: readonly (readonly [path: string, hash: ContentHash, size?: number])[];
  /** Run at the end, for what no publisher does. */
  readonly sql?: readonly string[];
}

export const directoryRow = (path: string, flags = 1): TestRow => ({ path, mode: 0o40755, flags, size: 4096 });

/** One certificate does for a test run: making one takes a tenth of a second. */
export const certificate = new PublisherCertificate();
export const masterKey = new MasterKey();

/** A repository on disk that a test writes as it likes, with real signatures. */
export class TestRepository {
  readonly name = 'test.example.org';

  constructor(readonly root: string) {
    mkdirSync(root, { recursive: true });
  }

  add(
    content: Buffer | string,
    kind: ObjectKind = 'file',
    compression: ObjectCompression = 'zlib',
    algorithm: HashAlgorithm = 'sha1',
  ): ContentHash {
    const bytes = Buffer.from(content);
    const stored = compression === 'none' ? bytes : deflateSync(bytes);
    const hash = hashBytes(algorithm, stored);
    this.write(objectPath({ hash, kind }), stored);
    return hash;
  }

  file(path: string, content: string): TestRow {
    return { path, mode: 0o100644, flags: 4, size: Buffer.byteLength(content), hash: this.add(content) };
  }

  addCatalog(catalog: TestCatalog): ContentHash {
    return this.add(catalogBytes(catalog), 'catalog');
  }

  write(path: string, bytes: Buffer): void {
    mkdirSync(dirname(join(this.root, path)), { recursive: true });
    writeFileSync(join(this.root, path), bytes);
  }

  read(path: string): Buffer {
    return readFileSync(join(this.root, path));
  }

  remove(path: string): void {
    rmSync(join(this.root, path));
  }

  whitelist(changes: Partial<Whitelist> = {}, key = masterKey): void {
    const text = serialiseWhitelist({
      name: this.name,
      createdAt: new Date('2026-01-01T00:00:00Z'),
      expiresAt: new Date('2066-01-01T00:00:00Z'),
      fingerprints: [{ fingerprint: fingerprintOf(new X509Certificate(certificate.pem), 'sha1'), comment: 'test' }],
      ...changes,
    });
    const line = formatHash(hashBytes('sha1', text));
    this.write('.cvmfswhitelist', serialiseSignedText(text, line, key.sign(line)));
  }

  manifest(rootCatalog: ContentHash, changes: Partial<Manifest> = {}, signer = certificate): void {
    const text = serialiseManifest({
      name: this.name,
      rootCatalog,
      rootCatalogSize: undefined,
      revision: 1,
      timeToLive: 240,
      publishedAt: 1_790_000_000,
      certificate: this.add(certificate.pem, 'certificate'),
      history: undefined,
      metainfo: undefined,
      reflog: undefined,
      isGarbageCollectable: false,
      hasAlternativePath: false,
      ...changes,
    });
    const line = formatHash(hashBytes('sha1', text));
    this.write('.cvmfspublished', serialiseSignedText(text, line, signer.sign(line)));
  }

  /** A sound repository of one catalog. */
  publish(catalog: TestCatalog, changes: Partial<Manifest> = {}): void {
    this.whitelist();
    this.manifest(this.addCatalog(catalog), changes);
  }
}

export function catalogBytes({ prefix = '', rows, nested = [], sql = [] }: TestCatalog): Buffer {
  using directory = new TemporaryDirectory();
  const path = join(directory.path, 'catalog');
  const database = openSqlite(path);
  for (const statement of catalogTables) database.exec(statement);
  database
    .prepare("INSERT INTO properties VALUES ('schema', '2.5'), ('revision', '1'), ('root_prefix', ?)")
    .run(prefix);
  for (const row of rows) database.exec(insertion(row));
  for (const [at, hash, size] of nested) {
    database.prepare('INSERT INTO nested_catalogs VALUES (?, ?, ?)').run(at, formatHash(hash), size ?? 0);
  }
  for (const statement of sql) database.exec(statement);
  database.close();
  return readFileSync(path);
}

/** The integers of hashes have 64 bits, which parameters do not carry. */
function insertion({ path, name, mode = 0o100644, flags = 4, size = 0, hash, link = '' }: TestRow): string {
  const slash = path.lastIndexOf('/');
  const own = hashPath(Buffer.from(path));
  const parent = path === '' ? noPath : hashPath(Buffer.from(path.slice(0, slash)));
  const quoted = (text: string): string => `CAST(x'${Buffer.from(text).toString('hex')}' AS TEXT)`;
  const blob = hash === undefined ? 'NULL' : `x'${hash.hex}'`;
  return `INSERT INTO catalog VALUES (${own.first}, ${own.second}, ${parent.first}, ${parent.second}, 1, ${blob}, ${size}, ${mode},
    1700000000, NULL, ${flags}, ${quoted(name ?? path.slice(slash + 1))}, ${quoted(link)}, 0, 0, NULL)`;
}
