import { lookup } from 'node:dns/promises';
import { BlockList, isIP } from 'node:net';
import { StoreError } from '@layerstore/core';
import { addNetwork, contains } from './address-zone.js';
import type { RegistryOptions } from './options.js';

/** Where the registry of a reference is reached. */
export interface Endpoint {
  /** As in references. */
  readonly domain: string;
  /** Host and port that are connected to. */
  readonly host: string;
  /** Without TLS or with an unverified certificate, should the registry offer nothing better. */
  readonly insecure: boolean;
}

/** Docker Hub answers under another name than its references have. */
const HUB = 'docker.io';
const HUB_HOST = 'registry-1.docker.io';
/** Docker takes every registry on this machine for insecure. */
const LOOPBACK = ['127.0.0.0/8', '::1/128'];

/**
 * @throws StoreError ERR_REGISTRY_DENIED for a blocked registry; ERR_INVALID_ARGUMENT for an entry of insecureRegistries that is none
 */
export async function endpointOf(domain: string, path: string, options: RegistryOptions): Promise<Endpoint> {
  const blocked = options.blockedRegistries?.find((rule) => covers(rule, domain, path));
  if (blocked !== undefined) {
    throw new StoreError('ERR_REGISTRY_DENIED', `the configuration of this machine blocks ${blocked}`, {
      subject: `${domain}/${path}`,
      hint: 'see `blocked` in registries.conf',
    });
  }
  const host = domain === HUB ? HUB_HOST : domain;
  return { domain, host, insecure: await isInsecure(host, options.insecureRegistries ?? []) };
}

/** The prefixes of containers-registries.conf(5): `host`, `host/path`, `*.domain`. */
export function covers(rule: string, domain: string, path: string): boolean {
  if (rule.startsWith('*.')) return domain.replace(/:\d+$/, '').endsWith(rule.slice(1));
  return `${domain}/${path}/`.startsWith(`${rule}/`);
}

/** As dockerd reads `insecure-registries`: names count as written, networks for every address that the host has. */
async function isInsecure(host: string, entries: readonly string[]): Promise<boolean> {
  const networks = new BlockList();
  for (const network of LOOPBACK) addNetwork(networks, network);
  let searched = false;
  const bare = host.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
  for (const entry of entries) {
    if (entry.includes('/')) {
      if (!addNetwork(networks, entry)) throw notARegistry(entry);
      searched = true;
    } else if (entry === host || entry === bare) return true;
    else if (entry === '' || entry.includes('://')) throw notARegistry(entry);
  }
  if (isIP(bare) !== 0) return contains(networks, bare);
  // Every other name would be asked of the network's name server for no use.
  if (!searched && bare !== 'localhost') return false;
  try {
    const addresses = await lookup(bare, { all: true });
    return addresses.length > 0 && addresses.every(({ address }) => contains(networks, address));
  } catch {
    // An unknown host fails where it is connected to, with its own message.
    return false;
  }
}

function notARegistry(entry: string): StoreError {
  return new StoreError('ERR_INVALID_ARGUMENT', 'not a registry or network', {
    subject: entry,
    hint: 'insecure registries are given as host, host:port, or network: 10.0.0.0/8',
  });
}
