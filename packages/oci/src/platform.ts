import { endianness } from 'node:os';
import { StoreError } from '@layerstore/core';

/** What an image runs on, in Go's names (OCI image-spec, image-index.md, "platform"). Always normalised. */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  /** `v7` of arm, `v3` of amd64; absent where it is the architecture's first or only one (`v8` of arm64). */
  readonly variant?: string;
  readonly osVersion?: string;
}

const systems = new Set(['linux', 'windows', 'darwin', 'freebsd', 'android', 'wasip1', 'wasi']);
const part = /^[A-Za-z0-9_.-]{1,64}$/;

/** Other names of an architecture, as uname, Debian and old Docker have them. */
const aliases: Readonly<Record<string, readonly [architecture: string, variant?: string]>> = {
  x86_64: ['amd64'],
  'x86-64': ['amd64'],
  i386: ['386'],
  i686: ['386'],
  aarch64: ['arm64'],
  armhf: ['arm', 'v7'],
  armel: ['arm', 'v6'],
  mips64el: ['mips64le'],
  mipsel: ['mipsle'],
  loongarch64: ['loong64'],
};

/**
 * Parses `os/architecture[/variant]`, as `--platform` takes it; `linux` or `arm64` alone stand for themselves and the
 * host's other half.
 * @throws StoreError ERR_INVALID_ARGUMENT
 */
export function parsePlatform(text: string, host: Platform = hostPlatform()): Platform {
  const [first = '', second, third, ...rest] = text.split('/');
  const parts = [first, second, third].filter((value) => value !== undefined);
  if (rest.length > 0 || !parts.every((value) => part.test(value))) {
    throw new StoreError('ERR_INVALID_ARGUMENT', 'not a platform', {
      subject: text,
      hint: 'a platform is os/architecture or os/architecture/variant, for example linux/arm64',
    });
  }
  if (second !== undefined) return normalisePlatform({ os: first, architecture: second, variant: third });
  return systems.has(first.toLowerCase())
    ? { ...host, os: first.toLowerCase() }
    : normalisePlatform({ os: host.os, architecture: first });
}

export interface LoosePlatform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string | undefined;
  readonly osVersion?: string | undefined;
}

/** Lower case, usual names, and no variant where it says nothing (`arm64/v8`, `amd64/v1`). */
export function normalisePlatform(platform: LoosePlatform): Platform {
  const named = platform.architecture.toLowerCase();
  const [architecture, implied] = aliases[named] ?? [named];
  const stated = (platform.variant ?? '').toLowerCase().replace(/^(?=\d)/, 'v');
  const variant = stated === '' ? (implied ?? (architecture === 'arm' ? 'v7' : '')) : stated;
  const silent = (architecture === 'arm64' && variant === 'v8') || (architecture === 'amd64' && variant === 'v1');
  return {
    os: platform.os.toLowerCase() === 'macos' ? 'darwin' : platform.os.toLowerCase(),
    architecture,
    ...(variant === '' || silent ? {} : { variant }),
    ...(platform.osVersion === undefined || platform.osVersion === '' ? {} : { osVersion: platform.osVersion }),
  };
}

/** `linux/arm/v7` */
export function formatPlatform(platform: Platform): string {
  return [platform.os, platform.architecture, platform.variant].filter((value) => value !== undefined).join('/');
}

/** The platform of the images that run here: Linux, since layerstore keeps Linux containers, on this machine's processor. */
export function hostPlatform(architecture: string = process.arch, order: 'LE' | 'BE' = endianness()): Platform {
  const little = order === 'LE' ? 'le' : '';
  const names: Readonly<Record<string, LoosePlatform['architecture']>> = {
    x64: 'amd64',
    ia32: '386',
    ppc64: `ppc64${little}`,
    mips: `mips${little}`,
    mipsel: 'mipsle',
  };
  return normalisePlatform({ os: 'linux', architecture: names[architecture] ?? architecture });
}

/**
 * The platforms that a machine runs, best first, as containerd orders them: its own variant, the lower ones, then the
 * 32-bit ancestor.
 */
export function runnablePlatforms(platform: Platform): Platform[] {
  const { os, architecture, variant } = platform;
  const like = (other: string, otherVariant?: string): Platform =>
    normalisePlatform({ os, architecture: other, variant: otherVariant });
  const level = Number(/^v(\d{1,2})$/.exec(variant ?? '')?.[1] ?? '1');
  switch (architecture) {
    case 'amd64':
      return [...descending(level).map((number) => like('amd64', `v${number}`)), like('386')];
    case 'arm':
      return descending(level, Math.min(level, 5)).map((number) => like('arm', `v${number}`));
    case 'arm64':
      return [platform, ...(variant === undefined ? [] : [like('arm64')]), ...armFallbacks.map((v) => like('arm', v))];
    default:
      return [platform];
  }
}

const armFallbacks = ['v8', 'v7', 'v6', 'v5'];

function descending(from: number, to = 1): number[] {
  return Array.from({ length: from - to + 1 }, (_, index) => from - index);
}

/**
 * The candidates that fit a machine best: all that share the best platform, in their order; none if nothing fits.
 */
export function bestForPlatform<Candidate extends { readonly platform: Platform }>(
  candidates: readonly Candidate[],
  wanted: Platform,
): Candidate[] {
  for (const platform of runnablePlatforms(wanted)) {
    const fitting = candidates.filter((candidate) => samePlatform(candidate.platform, platform));
    if (fitting.length > 0) return fitting;
  }
  return [];
}

function samePlatform(one: Platform, other: Platform): boolean {
  return one.os === other.os && one.architecture === other.architecture && one.variant === other.variant;
}
