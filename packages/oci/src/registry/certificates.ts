import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { fromSystemError } from '@layerstore/core';
import type { RegistryOptions } from './options.js';

/** What a TLS connection to a registry needs beyond Node's defaults. */
export interface TlsFiles {
  readonly ca?: string[];
  /** Certificate chain of the client, and its key, in PEM. */
  readonly cert?: string;
  readonly key?: string;
}

/**
 * Certificates for a registry as docker and podman keep them: `DIRECTORY/HOST[:PORT]/` with `*.crt` for authorities and `NAME.cert` with
 * `NAME.key` for the client (docs.docker.com, "Verify repository client with certificates").
 * @param host `registry.example:5000`; of port 443 both spellings
 * @throws StoreError ERR_IO, ERR_NEEDS_ROOT for files that are there and cannot be read
 */
export function certificatesFor(hosts: readonly string[], options: RegistryOptions): TlsFiles {
  const trusted = options.authorities === undefined ? [] : [read(options.authorities)];
  for (const directory of options.certificateDirectories ?? []) {
    for (const host of hosts) {
      // The host of a redirect is whatever the registry wrote.
      if (!/^[\w[][\w.:[\]-]*$/.test(host)) continue;
      const place = join(directory, host);
      const names = list(place);
      if (names.length === 0) continue;
      const authorities = names.filter((name) => name.endsWith('.crt')).map((name) => read(join(place, name)));
      const client = names.find((name) => name.endsWith('.cert') && names.includes(name.replace(/cert$/, 'key')));
      return {
        ...(authorities.length === 0 && trusted.length === 0
          ? {}
          : { ca: [...(trusted.length === 0 ? rootCertificates : trusted), ...authorities] }),
        ...(client === undefined
          ? {}
          : { cert: read(join(place, client)), key: read(join(place, client.replace(/cert$/, 'key'))) }),
      };
    }
  }
  return trusted.length === 0 ? {} : { ca: trusted };
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw fromSystemError(error, directory);
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw fromSystemError(error, path);
  }
}
