import { readFileSync } from 'node:fs';
import { fromSystemError, StoreError } from '@layerstore/core';
import * as v from 'valibot';
import { runHelper, type RunHelper } from './credential-helper.js';
import type { Credentials, CredentialSource } from './options.js';

export interface CredentialFilesOptions {
  /**
   * Docker's `config.json` and containers' `auth.json`, which have the same form (docs.docker.com, "docker login";
   * containers-auth.json(5)). The first that knows the registry counts; missing ones are passed over.
   */
  readonly files: readonly string[];
  /** Environment for credential helpers, among it the PATH on which `docker-credential-NAME` is found. Without it none is run. */
  readonly helperEnvironment?: NodeJS.ProcessEnv;
}

const entryShape = v.object({
  auth: v.optional(v.string()),
  username: v.optional(v.string()),
  password: v.optional(v.string()),
  identitytoken: v.optional(v.string()),
  registrytoken: v.optional(v.string()),
});

const fileShape = v.object({
  auths: v.optional(v.nullable(v.record(v.string(), entryShape))),
  credsStore: v.optional(v.string()),
  credHelpers: v.optional(v.nullable(v.record(v.string(), v.string()))),
});

type CredentialFile = v.InferOutput<typeof fileShape>;

/** Docker Hub under the names that files and helpers have for it. */
const HUB_NAMES = ['docker.io', 'index.docker.io', 'registry-1.docker.io'];
const HUB_SERVER = 'https://index.docker.io/v1/';

/** Credentials from the files that docker, podman and skopeo log in to, and from the helpers that they name. */
export function credentialFiles(options: CredentialFilesOptions): CredentialSource {
  const { helperEnvironment } = options;
  const run: RunHelper | undefined =
    helperEnvironment === undefined ? undefined : (name, server) => runHelper(name, server, helperEnvironment);
  return {
    find: async (domain, path) => {
      for (const file of options.files) {
        const document = readCredentialFile(file);
        const found = document === undefined ? undefined : await findIn(document, domain, path, file, run);
        if (found !== undefined) return found;
      }
      return undefined;
    },
  };
}

async function findIn(
  file: CredentialFile,
  domain: string,
  path: string,
  name: string,
  run: RunHelper | undefined,
): Promise<Credentials | undefined> {
  const keys = keysFor(domain, path);
  const helper = keys.map((key) => own(file.credHelpers, key)).find((value) => value !== undefined);
  const server = domain === 'docker.io' ? HUB_SERVER : domain;
  if (helper !== undefined && run !== undefined) {
    const found = await run(helper, server);
    if (found !== undefined) return found;
  } else if (file.credsStore !== undefined && file.credsStore !== '' && run !== undefined) {
    const found = await run(file.credsStore, server);
    if (found !== undefined) return found;
  }
  const entries = new Map(Object.entries(file.auths ?? {}).map(([key, entry]) => [bareKey(key), entry]));
  for (const key of keys) {
    const entry = entries.get(key);
    const found = entry === undefined ? undefined : credentialsOf(entry, `${name}: ${key}`);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** From the most specific: podman keeps credentials for `host/namespace/repository`, docker only for hosts. */
function keysFor(domain: string, path: string): string[] {
  const parts = path.split('/');
  const hosts = domain === 'docker.io' ? HUB_NAMES : [domain];
  return hosts.flatMap((host) =>
    parts.map((_, at) => [host, ...parts.slice(0, parts.length - at)].join('/')).concat(host),
  );
}

/** Docker has written `https://host/v1/` for a host. */
function bareKey(key: string): string {
  return key.replace(/^https?:\/\//, '').replace(/\/(v[12]\/?)?$/, '');
}

function own<Value>(record: Readonly<Record<string, Value>> | null | undefined, key: string): Value | undefined {
  return record !== null && record !== undefined && Object.hasOwn(record, key) ? record[key] : undefined;
}

function credentialsOf(entry: v.InferOutput<typeof entryShape>, subject: string): Credentials | undefined {
  const { registrytoken = '', identitytoken = '', auth = '', username = '', password = '' } = entry;
  if (registrytoken !== '') return { kind: 'bearer-token', token: registrytoken };
  if (identitytoken !== '') return { kind: 'identity-token', token: identitytoken };
  if (auth === '') return username === '' ? undefined : { kind: 'password', user: username, password };
  const text = Buffer.from(auth, 'base64').toString('utf8').replace(/\0+$/, '');
  const colon = text.indexOf(':');
  if (colon > 0) return { kind: 'password', user: text.slice(0, colon), password: text.slice(colon + 1) };
  throw new StoreError('ERR_REGISTRY_DENIED', 'auth is not the base64 of user:password', {
    subject,
    hint: 'log in again',
  });
}

function readCredentialFile(path: string): CredentialFile | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw fromSystemError(error, path);
  }
  if (text.trim() === '') return undefined;
  try {
    return v.parse(fileShape, JSON.parse(text));
  } catch {
    // Neither the text nor a cause that quotes it: it holds passwords.
    throw new StoreError('ERR_REGISTRY_DENIED', 'not a file of credentials', {
      subject: path,
      hint: 'correct or remove it, then log in again',
    });
  }
}
