import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'smol-toml';
import * as v from 'valibot';
import { StoreError } from '@layerstore/core';
import type { RegistryOptions } from '@layerstore/store';

/** What containers-registries.conf(5) says and layerstore follows. */
export interface RegistriesConf {
  readonly insecure: readonly string[];
  readonly blocked: readonly string[];
  readonly shortNames: NonNullable<RegistryOptions['shortNames']>;
}

const shape = v.object({
  'unqualified-search-registries': v.optional(v.array(v.string())),
  aliases: v.optional(v.record(v.string(), v.string())),
  registry: v.optional(
    v.array(
      v.object({
        prefix: v.optional(v.string()),
        location: v.optional(v.string()),
        insecure: v.optional(v.boolean()),
        blocked: v.optional(v.boolean()),
      }),
    ),
  ),
});

/**
 * Reads registries.conf and its drop-ins, the user's in place of the system's, as podman does.
 * @throws StoreError ERR_INVALID_ARGUMENT naming the file
 */
export function readRegistriesConf(home: string, environment: NodeJS.ProcessEnv): RegistriesConf {
  const insecure: string[] = [];
  const blocked: string[] = [];
  let aliases: Record<string, string> = {};
  let searchRegistries: readonly string[] = [];
  for (const path of filesOf(home, environment)) {
    const document = read(path);
    searchRegistries = document['unqualified-search-registries'] ?? searchRegistries;
    aliases = { ...aliases, ...document.aliases };
    for (const { prefix, location, ...flags } of document.registry ?? []) {
      const name = prefix ?? location;
      if (name !== undefined && flags.blocked === true) blocked.push(name);
      // Certificates belong to a host, not to the repositories on it.
      if (name !== undefined && flags.insecure === true) insecure.push((location ?? name).split('/')[0] ?? name);
    }
  }
  return {
    insecure: insecure.filter((host) => !host.startsWith('*.')),
    blocked,
    shortNames: { aliases, searchRegistries },
  };
}

/** In the order in which later ones win. */
function filesOf(home: string, environment: NodeJS.ProcessEnv): string[] {
  const named = environment['CONTAINERS_REGISTRIES_CONF'];
  if (named !== undefined && named !== '') return [named];
  const own = join(home, '.config/containers');
  const system = '/etc/containers';
  const main = [join(own, 'registries.conf'), join(system, 'registries.conf')]
    .filter((path) => existsSync(path))
    .slice(0, 1);
  return [...main, ...dropIns(join(system, 'registries.conf.d')), ...dropIns(join(own, 'registries.conf.d'))];
}

function dropIns(directory: string): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .filter((name) => name.endsWith('.conf'))
    .sort()
    .map((name) => join(directory, name));
}

function read(path: string): v.InferOutput<typeof shape> {
  try {
    return v.parse(shape, parse(readFileSync(path, 'utf8')));
  } catch (cause) {
    const [reason = ''] = (cause instanceof Error ? cause.message : String(cause)).split('\n');
    throw new StoreError('ERR_INVALID_ARGUMENT', reason, {
      subject: path,
      hint: 'correct the file (containers-registries.conf(5)); podman reads it too',
      cause,
    });
  }
}
