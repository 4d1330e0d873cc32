/**
 * The driver's side of the plugin: what each call of the engine does to the home.
 *
 * Calls that change one layer, or its view, wait for each other; calls for different layers do not. Whatever comes twice,
 * because an exchange broke and was repeated, changes nothing the second time.
 */
import { existsSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { ArchiveWorkers } from '@layerstore/archive';
import { hasCode, type IdMaps, parseLayerId, StoreError, Turns, type LayerId, type Logger } from '@layerstore/core';
import { Mounter } from '@layerstore/linux';
import type {
  BackendOptions,
  ComparedLayers,
  CreateRequest,
  DiffRequest,
  HomeRequest,
  LayerRequest,
  ListedChange,
  Statistics,
} from '../backend-calls.js';
import { HomeRecord, type RecordedHome } from './home-record.js';
import { OpenHome, type HomeTools } from './open-home.js';
import { requirePropagation } from './propagation.js';
import type { CallTargets } from './serve-calls.js';

/** Streams that are written, and read, at the same time; more wait. Both are far beyond what the cores can work on. */
const OUTGOING_STREAMS = 16;
const INCOMING_STREAMS = 32;
/** Threads that stay when there is nothing to do: each holds 10 MB. */
const IDLE_THREADS = 2;

export class GraphBackend implements CallTargets {
  readonly #turns = new Turns<LayerId>();
  readonly #initTurn = new Turns<'init'>();
  readonly #delay = monitorEventLoopDelay({ resolution: 10 });
  #home: OpenHome | undefined;

  private constructor(
    private readonly options: BackendOptions,
    private readonly record: HomeRecord,
    private readonly tools: HomeTools,
  ) {
    this.#delay.enable();
  }

  /**
   * Locks the socket's record; where it names a home, opens that.
   * @throws StoreError ERR_BUSY, ERR_DRIVER_MISMATCH, and as `openDriver`
   */
  static async start(options: BackendOptions, logger: Logger): Promise<GraphBackend> {
    const record = await HomeRecord.open(options.stateDirectory, options.socket);
    const backend = new GraphBackend(options, record, {
      workers: {
        local: new ArchiveWorkers({ logger }),
        outgoing: new ArchiveWorkers({ threads: OUTGOING_STREAMS, idle: IDLE_THREADS, logger }),
        incoming: new ArchiveWorkers({ threads: INCOMING_STREAMS, idle: IDLE_THREADS, logger }),
      },
      mounter: new Mounter({ unmountIn: 'background', logger }),
      logger,
      storageOptions: options.storageOptions,
    });
    try {
      await backend.#resume();
    } catch (error) {
      await backend.close();
      throw error;
    }
    return backend;
  }

  async init(request: HomeRequest): Promise<undefined> {
    return this.#initTurn.take('init', async () => {
      const { home, options, idMaps } = request;
      this.#refuseOtherHome(home);
      refuseIdMaps(idMaps);
      const record: RecordedHome = { driver: this.options.driver, home, options };
      const opened = this.#home;
      const next =
        opened === undefined
          ? await OpenHome.open(record, this.tools, 'none')
          : await opened.reopen(record, this.tools);
      try {
        await requirePropagation(next.driver.home, request.peer, this.tools.mounter);
        this.record.write(record);
      } catch (error) {
        if (opened === undefined) next[Symbol.dispose]();
        throw error;
      }
      this.#home = next;
      return undefined;
    });
  }

  async create(request: CreateRequest): Promise<undefined> {
    if (Object.keys(request.storageOptions ?? {}).length > 0) {
      throw new StoreError('ERR_NOT_SUPPORTED', 'storage options are for the writable layers of containers only', {
        subject: request.id,
      });
    }
    return this.#make(request, (home, id, parent) => home.driver.create(id, createOptions(request, parent)));
  }

  async createReadWrite(request: CreateRequest): Promise<undefined> {
    const { storageOptions = {} } = request;
    return this.#make(request, (home, id, parent) =>
      home.driver.createReadWrite(id, {
        ...createOptions(request, parent),
        ...(Object.keys(storageOptions).length === 0 ? {} : { storageOptions }),
      }),
    );
  }

  async remove({ id }: LayerRequest): Promise<undefined> {
    return this.#change(id, async (home, layer) => {
      await this.#evenIfUsed(home, layer, () => home.views.remove(layer));
      home.fresh.forget(layer);
      return undefined;
    });
  }

  async get({ id, mountLabel }: LayerRequest & { readonly mountLabel?: string }): Promise<string> {
    return this.#change(id, (home, layer) => home.views.get(layer, mountLabel === undefined ? {} : { mountLabel }));
  }

  async put({ id }: LayerRequest): Promise<undefined> {
    return this.#change(id, async (home, layer) => {
      await this.#evenIfUsed(home, layer, () => home.views.put(layer));
      return undefined;
    });
  }

  async exists({ id }: LayerRequest): Promise<boolean> {
    return this.#require().driver.exists(parseLayerId(id));
  }

  async status(): Promise<readonly (readonly [string, string])[]> {
    const home = this.#require();
    const layers = await home.driver.list();
    return [
      ...(await home.driver.status()),
      ['Layerstore Driver', home.driver.name],
      ['Layerstore Home', home.driver.home],
      ['Layerstore Layers', String(layers.length)],
      ['Layerstore Views Mounted', String(home.mountedViews)],
    ];
  }

  async metadata({ id }: LayerRequest): Promise<Readonly<Record<string, string>>> {
    return this.#require().driver.metadata(parseLayerId(id));
  }

  async cleanup(): Promise<undefined> {
    const home = this.#require();
    await home.views.cleanup();
    await home.driver.cleanup();
    return undefined;
  }

  async changes(request: ComparedLayers, signal: AbortSignal): Promise<readonly ListedChange[]> {
    const { measured } = this.#require().diffs;
    const found = await measured.changes(...compared(request), { signal });
    return found.map(({ path, kind }) => ({ path: path.toString(), kind }));
  }

  async diffSize(request: ComparedLayers, signal: AbortSignal): Promise<number> {
    return this.#require().diffs.measured.diffSize(...compared(request), { signal });
  }

  async diff(request: DiffRequest, signal: AbortSignal): Promise<undefined> {
    const [id, parent] = compared(request);
    const tarRules = { rules: 'docker', names: request.names } as const;
    await this.#require().diffs.outgoing.diff(id, parent, { fd: request.fd }, { signal, tarRules });
    return undefined;
  }

  async applyDiff({ id, fd }: ComparedLayers & { readonly fd: number }, signal: AbortSignal): Promise<number> {
    return this.#change(id, async (home, layer) => {
      await this.#requireLayer(home, layer);
      home.fresh.beginUnpacking(layer);
      try {
        const applied = await home.diffs.incoming.applyDiff(layer, { fd }, { signal });
        home.fresh.endUnpacking(layer);
        return applied.size;
      } catch (error) {
        // Refused before anything was written; everything else leaves half a layer, which nobody must take for a whole one.
        if (hasCode(error, 'ERR_BUSY', 'ERR_EXISTS', 'ERR_LAYER_NOT_FOUND')) home.fresh.takeBack(layer);
        else await this.#discard(home, layer);
        throw error;
      }
    });
  }

  async statistics(): Promise<Statistics> {
    return Promise.resolve({ mountedViews: this.#home?.mountedViews ?? 0, worstDelay: this.#delay.max / 1e9 });
  }

  async close(): Promise<undefined> {
    const { local, outgoing, incoming } = this.tools.workers;
    for (const workers of [outgoing, incoming, local]) await workers[Symbol.asyncDispose]();
    this.#home?.[Symbol.dispose]();
    this.record[Symbol.dispose]();
    this.#delay.disable();
    return undefined;
  }

  /** Opens the home that was served before; one that has been deleted meanwhile is nobody's any more. */
  async #resume(): Promise<void> {
    const recorded = this.record.read();
    if (recorded === undefined) return;
    if (!existsSync(recorded.home)) {
      this.tools.logger.warn({ home: recorded.home }, 'the home that was served before is gone');
      return;
    }
    if (recorded.driver !== this.options.driver) {
      throw new StoreError(
        'ERR_DRIVER_MISMATCH',
        `the socket has served ${recorded.home} with ${recorded.driver}, not with ${this.options.driver}`,
        { subject: this.options.socket, hint: `stop the engine and delete ${this.record.path} to begin anew` },
      );
    }
    this.#home = await OpenHome.open(recorded, this.tools, 'expected');
  }

  #refuseOtherHome(home: string): void {
    const served = this.#home?.record.home;
    if (served === undefined || served === home) return;
    throw new StoreError('ERR_BUSY', `this socket serves ${served}; it serves one home only`, {
      subject: home,
      hint:
        'give every engine a socket of its own; if its data root has moved, stop the plugin, delete ' +
        `${this.record.path} and start it again`,
    });
  }

  #require(): OpenHome {
    if (this.#home !== undefined) return this.#home;
    throw new StoreError('ERR_NO_HOME', 'the engine has not said yet which home to serve', {
      hint: 'restart dockerd: it sends Init when it starts',
    });
  }

  async #requireLayer({ driver }: OpenHome, id: LayerId): Promise<void> {
    if (await driver.exists(id)) return;
    throw new StoreError('ERR_LAYER_NOT_FOUND', `there is no such layer in ${driver.home}`, { subject: id });
  }

  #make(
    { id, parent }: CreateRequest,
    make: (home: OpenHome, id: LayerId, parent: LayerId | undefined) => Promise<void>,
  ): Promise<undefined> {
    const below = parseParent(parent);
    return this.#change(id, async (home, layer) => {
      await make(home, layer, below);
      home.fresh.made(layer);
      if (below !== undefined) home.fresh.hasChild(below);
      return undefined;
    });
  }

  #change<Result>(id: string, work: (home: OpenHome, id: LayerId) => Promise<Result>): Promise<Result> {
    const layer = parseLayerId(id);
    return this.#turns.take(layer, () => work(this.#require(), layer));
  }

  /**
   * A process of the host may stand in a view that an engine is done with. Engines detach it and go on, and have no way to try
   * again later.
   */
  async #evenIfUsed(home: OpenHome, id: LayerId, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!hasCode(error, 'ERR_BUSY')) throw error;
      await this.tools.mounter.detach(home.driver.mountPoint(id));
      await work();
    }
  }

  async #discard(home: OpenHome, id: LayerId): Promise<void> {
    await home.driver.remove(id);
    home.fresh.forget(id);
  }
}

/** @throws StoreError ERR_NOT_SUPPORTED for maps that change anything */
function refuseIdMaps(maps: IdMaps | undefined): void {
  const ranges = [...(maps?.uids ?? []), ...(maps?.gids ?? [])];
  if (ranges.every(({ container, host }) => container === host)) return;
  throw new StoreError('ERR_NOT_SUPPORTED', 'layers are not kept with mapped owners', {
    subject: '--userns-remap',
    hint: 'start dockerd without --userns-remap',
  });
}

function createOptions({ mountLabel }: CreateRequest, parent: LayerId | undefined): { parent?: LayerId } {
  return { ...(parent === undefined ? {} : { parent }), ...(mountLabel === undefined ? {} : { mountLabel }) };
}

function compared({ id, parent }: ComparedLayers): [LayerId, LayerId | undefined] {
  return [parseLayerId(id), parseParent(parent)];
}

/** Engines send an empty name where there is no parent. */
function parseParent(parent: string | undefined): LayerId | undefined {
  return parent === undefined || parent === '' ? undefined : parseLayerId(parent);
}
