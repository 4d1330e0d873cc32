import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fromSystemError, StoreError } from '@layerstore/core';
import { credentialFiles, version, type CredentialSource, type RegistryOptions } from '@layerstore/store';
import type { RegistryCommandOptions } from '../commands/registry-flags.js';
import { readPassword } from './read-password.js';
import { readRegistriesConf } from './registries-conf.js';

const systemAuthorities = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

/**
 * How registries are reached from here: credentials, certificates, proxies and insecure registries as docker and podman are told of them.
 * @throws StoreError ERR_INVALID_ARGUMENT for a configuration file that cannot be read as one
 */
export async function registryOptions(
  options: RegistryCommandOptions,
  environment: NodeJS.ProcessEnv,
): Promise<RegistryOptions> {
  const home = set(environment['HOME']) ?? homedir();
  const proxies = proxiesOf(environment);
  const containers = readRegistriesConf(home, environment);
  const authorities = set(environment['SSL_CERT_FILE']) ?? systemAuthorities.find((path) => existsSync(path));
  return {
    credentials: await credentialsOf(options, home, environment),
    insecureRegistries: [
      ...(options.insecureRegistry ?? []),
      ...insecureOfDocker('/etc/docker/daemon.json'),
      ...containers.insecure,
    ],
    blockedRegistries: containers.blocked,
    certificateDirectories:
      options.certDir === undefined
        ? [join(home, '.config/containers/certs.d'), '/etc/containers/certs.d', '/etc/docker/certs.d']
        : [options.certDir],
    ...(authorities === undefined ? {} : { authorities }),
    ...(proxies === undefined ? {} : { proxies }),
    ...(options.shortNames === 'podman' ? { shortNames: containers.shortNames } : {}),
    userAgent: `layerstore/${version}`,
  };
}

async function credentialsOf(
  { creds, authfile }: RegistryCommandOptions,
  home: string,
  environment: NodeJS.ProcessEnv,
): Promise<CredentialSource> {
  if (creds !== undefined) {
    const colon = creds.indexOf(':');
    const user = colon < 0 ? creds : creds.slice(0, colon);
    const password = colon < 0 ? await readPassword(`Password of ${user}: `) : creds.slice(colon + 1);
    return { find: () => Promise.resolve({ kind: 'password', user, password }) };
  }
  const named = authfile ?? set(environment['REGISTRY_AUTH_FILE']);
  if (named !== undefined && !existsSync(named)) {
    throw new StoreError('ERR_NOT_FOUND', 'no such file', {
      subject: named,
      hint: 'check --authfile or REGISTRY_AUTH_FILE',
    });
  }
  const runtime = set(environment['XDG_RUNTIME_DIR']);
  const config = set(environment['XDG_CONFIG_HOME']) ?? join(home, '.config');
  const files = [
    ...(runtime === undefined ? [] : [join(runtime, 'containers/auth.json')]),
    ...(process.getuid?.() === 0 ? ['/run/containers/0/auth.json'] : []),
    join(config, 'containers/auth.json'),
    join(set(environment['DOCKER_CONFIG']) ?? join(home, '.docker'), 'config.json'),
  ];
  return credentialFiles({ files: named === undefined ? files : [named], helperEnvironment: environment });
}

/** The usual variables; the lower-case ones come first, and an empty one switches a proxy off. */
function proxiesOf(environment: NodeJS.ProcessEnv): RegistryOptions['proxies'] {
  const read = (name: string): string | undefined => environment[name.toLowerCase()] ?? environment[name];
  const http = set(read('HTTP_PROXY'));
  const https = set(read('HTTPS_PROXY'));
  const noProxy = set(read('NO_PROXY'));
  if (http === undefined && https === undefined) return undefined;
  return {
    ...(http === undefined ? {} : { http }),
    ...(https === undefined ? {} : { https }),
    ...(noProxy === undefined ? {} : { noProxy }),
  };
}

/** `insecure-registries` of dockerd's configuration. */
function insecureOfDocker(path: string): string[] {
  if (!existsSync(path)) return [];
  let document: unknown;
  try {
    const text = readFileSync(path, 'utf8');
    document = text.trim() === '' ? {} : JSON.parse(text);
  } catch (cause) {
    const error = fromSystemError(cause, path);
    throw new StoreError('ERR_INVALID_ARGUMENT', error.message, {
      subject: path,
      hint: 'correct the file; dockerd reads it too',
      cause,
    });
  }
  const list =
    typeof document === 'object' && document !== null
      ? (document as Record<string, unknown>)['insecure-registries']
      : [];
  return Array.isArray(list) ? list.filter((entry) => typeof entry === 'string') : [];
}

function set(value: string | undefined): string | undefined {
  return value === '' ? undefined : value;
}
