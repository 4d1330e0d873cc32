/** The calls that are answered with JSON. Source: docker/docker plugin API v1, daemon/graphdriver/proxy.go. */
import type { IdMaps, IdRange } from '@layerstore/core';
import type { BackendThread } from './backend-thread.js';
import type { CreateRequest, ListedChange } from './backend-calls.js';
import type { Method, Request } from './requests.js';

export interface CallContext {
  readonly backend: BackendThread;
  readonly signal: AbortSignal;
  /** The engine's process. */
  readonly peer: number;
}

export type JsonMethod = Exclude<Method, 'Diff'>;
export type Reply = Readonly<Record<string, unknown>>;

type JsonCalls = {
  readonly [Name in JsonMethod]: (request: Request<Name>, context: CallContext) => Promise<Reply>;
};

/** What `Kind` means in a reply. */
const changeKinds = { modify: 0, add: 1, delete: 2 } as const satisfies Record<ListedChange['kind'], number>;

const nothing: Reply = {};

export const jsonCalls: JsonCalls = {
  async Init({ Home, Opts, UIDMaps, GIDMaps }, { backend, peer }) {
    const idMaps: IdMaps = { uids: ranges(UIDMaps), gids: ranges(GIDMaps) };
    const mapped = idMaps.uids.length > 0 || idMaps.gids.length > 0;
    await backend.call('init', { home: Home, options: Opts ?? [], peer, ...(mapped ? { idMaps } : {}) });
    return nothing;
  },

  // Were it true, the engine would keep no tar-split, and archives of layers that it pulled before could not be read.
  Capabilities: () => Promise.resolve({ Capabilities: { ReproducesExactDiffs: false } }),

  async Create(request, { backend }) {
    await backend.call('create', createRequest(request));
    return nothing;
  },
  async CreateReadWrite(request, { backend }) {
    await backend.call('createReadWrite', createRequest(request));
    return nothing;
  },
  async Remove({ ID }, { backend }) {
    await backend.call('remove', { id: ID });
    return nothing;
  },
  async Get({ ID, MountLabel }, { backend }) {
    return { Dir: await backend.call('get', { id: ID, ...optional('mountLabel', MountLabel) }) };
  },
  async Put({ ID }, { backend }) {
    await backend.call('put', { id: ID });
    return nothing;
  },
  Exists: async ({ ID }, { backend }) => ({ Exists: await backend.call('exists', { id: ID }) }),
  Status: async (_request, { backend }) => ({ Status: await backend.call('status', undefined) }),
  GetMetadata: async ({ ID }, { backend }) => ({ Metadata: await backend.call('metadata', { id: ID }) }),
  async Cleanup(_request, { backend }) {
    await backend.call('cleanup', undefined);
    return nothing;
  },
  async Changes(request, { backend, signal }) {
    const found = await backend.call('changes', comparedLayers(request), signal);
    return { Changes: found.map(({ path, kind }) => ({ Path: path, Kind: changeKinds[kind] })) };
  },
  DiffSize: async (request, { backend, signal }) => ({
    Size: await backend.call('diffSize', comparedLayers(request), signal),
  }),
};

export function comparedLayers({ ID, Parent }: Request<'Diff'>): { id: string; parent?: string } {
  return { id: ID, ...optional('parent', Parent) };
}

function createRequest({ ID, Parent, MountLabel, StorageOpt }: Request<'Create'>): CreateRequest {
  return {
    id: ID,
    ...optional('parent', Parent),
    ...optional('mountLabel', MountLabel),
    ...optional('storageOptions', StorageOpt),
  };
}

/** Engines leave out what is empty, or send it as an empty string or null. */
function optional<Name extends string, Value>(
  name: Name,
  value: Value | null | undefined,
): { [Key in Name]?: Exclude<Value, null | undefined> } {
  return value === undefined || value === null || value === '' ? {} : ({ [name]: value } as never);
}

function ranges(maps: Request<'Init'>['UIDMaps']): IdRange[] {
  return (maps ?? []).map(({ container_id, host_id, size }) => ({ container: container_id, host: host_id, size }));
}
