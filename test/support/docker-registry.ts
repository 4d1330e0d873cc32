/** Debian's docker-registry on loopback: a real registry of one test, with or without TLS and authentication. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TokenServer } from './token-server.js';

export interface DockerRegistryOptions {
  readonly tls?: TestCertificate;
  /** Of the certificates that clients have to show. */
  readonly clientAuthority?: string;
  /** User and password, for Basic. */
  readonly htpasswd?: { readonly user: string; readonly password: string };
  /** For Bearer. */
  readonly tokens?: TokenServer;
  /** Port to listen on; default: a free one. */
  readonly port?: number;
}

export class DockerRegistry implements AsyncDisposable {
  private constructor(
    /** `127.0.0.1:PORT` */
    readonly host: string,
    readonly logPath: string,
    private readonly child: ChildProcess,
  ) {}

  get port(): number {
    return Number(this.host.split(':')[1]);
  }

  /** @param directory keeps what is stored; a later registry on it has the same content */
  static async start(directory: string, options: DockerRegistryOptions = {}): Promise<DockerRegistry> {
    mkdirSync(directory, { recursive: true });
    const logPath = join(directory, 'log');
    const config = {
      version: '0.1',
      log: { level: 'info', formatter: 'json' },
      storage: { filesystem: { rootdirectory: join(directory, 'data') }, delete: { enabled: true } },
      http: {
        addr: `127.0.0.1:${options.port ?? 0}`,
        ...tlsOf(options),
      },
      validation: { manifests: { urls: { allow: ['^http://127\\.0\\.0\\.1:'] } } },
      ...authOf(directory, options),
    };
    // JSON is YAML.
    writeFileSync(join(directory, 'config.yml'), JSON.stringify(config));
    const child = spawn('docker-registry', ['serve', join(directory, 'config.yml')], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let log = '';
    const collect = (chunk: Buffer): void => {
      log += chunk.toString();
      writeFileSync(logPath, log);
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    const host = await new Promise<string>((resolve, reject) => {
      const look = (): void => {
        const found = /listening on (127\.0\.0\.1:\d+)/.exec(log)?.[1];
        if (found !== undefined) resolve(found);
      };
      child.stdout.on('data', look);
      child.stderr.on('data', look);
      child.on('error', reject);
      child.on('exit', () => reject(new Error(`docker-registry ended:\n${log}`)));
    });
    return new DockerRegistry(host, logPath, child);
  }

  /** `METHOD /path` of every request so far. */
  requests(): string[] {
    return [
      ...readFileSync(this.logPath, 'utf8').matchAll(/"((?:GET|HEAD|PUT|POST|PATCH|DELETE) [^ "]+) HTTP\/1\.1"/g),
    ].map(([, request = '']) => request);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode !== null) return;
    this.child.removeAllListeners('exit');
    const ended = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await ended;
  }
}

function tlsOf({ tls, clientAuthority }: DockerRegistryOptions): Record<string, unknown> {
  if (tls === undefined) return {};
  const clients = clientAuthority === undefined ? {} : { clientcas: [clientAuthority] };
  return { tls: { certificate: tls.certificate, key: tls.key, ...clients } };
}

function authOf(directory: string, options: DockerRegistryOptions): Record<string, unknown> {
  if (options.htpasswd !== undefined) {
    const { user, password } = options.htpasswd;
    const path = join(directory, 'htpasswd');
    writeFileSync(path, execFileSync('htpasswd', ['-Bbn', user, password]));
    return { auth: { htpasswd: { realm: 'test', path } } };
  }
  if (options.tokens !== undefined) {
    const { realm, service, issuer, certificate } = options.tokens;
    return { auth: { token: { realm, service, issuer, rootcertbundle: certificate } } };
  }
  return {};
}

/** Files of a certificate for 127.0.0.1 and localhost that only its own authority vouches for. */
export interface TestCertificate {
  readonly authority: string;
  readonly certificate: string;
  readonly key: string;
}

export function makeCertificate(directory: string, names = 'IP:127.0.0.1,DNS:localhost'): TestCertificate {
  mkdirSync(directory, { recursive: true });
  const [certificate, key] = [join(directory, 'server.pem'), join(directory, 'server.key')];
  execFileSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=layerstore test'],
      ...['-addext', `subjectAltName=${names}`, '-keyout', key, '-out', certificate],
    ],
    { stdio: 'pipe' },
  );
  return { authority: certificate, certificate, key };
}
