/** Rounds in which containerd works on layerstore and one of the two is killed in the middle. */
import { existsSync, readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { CommandLine } from './command.js';
import { Containerd, SnapshotServer } from './containerd.js';
import { mountsBelow, type Scratch } from './scratch.js';

export interface Disagreement {
  readonly what: string;
  readonly detail: unknown;
}

interface Listed {
  readonly id: number;
  readonly key: string;
  readonly cacheId?: string;
}

export class KilledRounds implements AsyncDisposable {
  readonly server: SnapshotServer;
  readonly containerd: Containerd;
  readonly layerstore: CommandLine;
  #greatestId = 0;
  readonly #seen = new Map<number, string>();

  constructor(
    scratch: Scratch,
    private readonly archives: readonly string[],
    argv: readonly string[] = [],
  ) {
    this.server = new SnapshotServer(scratch, argv);
    this.containerd = new Containerd(scratch, { snapshotters: { layerstore: this.server.socket } });
    this.layerstore = new CommandLine(this.server.root);
  }

  async start(): Promise<this> {
    await this.server.start();
    await this.containerd.start();
    return this;
  }

  /** Unpacks an image, kills `victim` after `afterMs`, starts it anew and compares records, directories and mounts. */
  async round(victim: 'server' | 'containerd', afterMs: number, archive: string): Promise<Disagreement[]> {
    const importing = this.containerd.ctrAsync('images', 'import', '--snapshotter', 'layerstore', archive).then(
      () => 'done',
      () => 'failed',
    );
    await delay(afterMs);
    await (victim === 'server' ? this.server.end('SIGKILL') : this.containerd.end('SIGKILL'));
    await importing;
    const afterKill = this.#idsAreNew();
    await (victim === 'server' ? this.server.start() : this.containerd.start());
    await this.containerd.reach('layerstore');
    return [...afterKill, ...this.#disagreements()];
  }

  /** What a kill has left must not stand in the way: every image can be unpacked, and goes without a trace. */
  finish(): Disagreement[] {
    const { containerd } = this;
    for (const archive of this.archives) containerd.ctr('images', 'import', '--snapshotter', 'layerstore', archive);
    const found = this.#disagreements();
    const names = containerd.ctr('images', 'ls', '-q').trim().split('\n');
    containerd.ctr('images', 'rm', '--sync', ...names);
    // A killed import leaves a lease, which keeps what it had prepared for a day.
    const leases = containerd.ctr('leases', 'ls', '-q').trim();
    if (leases !== '') containerd.ctr('leases', 'rm', '--sync', ...leases.split('\n'));
    containerd.ctr('images', 'import', '--snapshotter', 'layerstore', this.archives[0] ?? '');
    containerd.ctr('images', 'rm', '--sync', ...containerd.ctr('images', 'ls', '-q').trim().split('\n'));
    const left = this.#listed();
    if (left.length > 0) found.push({ what: 'snapshots outlive their images', detail: left });
    return found;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.containerd[Symbol.asyncDispose]();
    await this.server[Symbol.asyncDispose]();
  }

  #listed(): Listed[] {
    return this.layerstore.json('snapshots', 'ls') as Listed[];
  }

  #keys(): string[] {
    const listed = this.containerd.ctr('snapshots', '--snapshotter', 'layerstore', 'ls').trim().split('\n').slice(1);
    return listed.map(firstWord).filter((key) => key !== '');
  }

  /** Asked twice, because containerd collects garbage between the two lists. */
  #unknownKeys(): string[] {
    const keys = this.#keys();
    const known = new Set(this.#listed().map(({ key }) => firstWord(key.replace(/^[^/]*\/[^/]*\//, ''))));
    return keys.filter((key) => !known.has(key));
  }

  /** Ids grow and are never given to another snapshot, whatever dies. */
  #idsAreNew(): Disagreement[] {
    const reused: Disagreement[] = [];
    for (const { id, cacheId = '' } of this.#listed()) {
      const before = this.#seen.get(id);
      if (before === undefined && id <= this.#greatestId) reused.push({ what: 'an id came back', detail: id });
      if (before !== undefined && before !== cacheId) reused.push({ what: 'an id changed its directory', detail: id });
      this.#seen.set(id, cacheId);
    }
    this.#greatestId = Math.max(this.#greatestId, ...this.#seen.keys());
    return reused;
  }

  #disagreements(): Disagreement[] {
    const found: Disagreement[] = [...this.#idsAreNew()];
    const check = this.layerstore.json('check') as { findings: unknown[]; leftovers: unknown[] };
    if (check.findings.length > 0) found.push({ what: 'check finds damage', detail: check.findings });
    const home = `${this.server.root}/home`;
    const layers = existsSync(`${home}/dir`) ? `${home}/dir` : home;
    const directories = new Set(readdirSync(layers).filter((name) => /^[0-9a-f]{64}$/.test(name)));
    const recorded = this.#listed().flatMap(({ cacheId }) => (cacheId === undefined ? [] : [cacheId]));
    const missing = recorded.filter((id) => !directories.has(id));
    if (missing.length > 0) found.push({ what: 'snapshots without directory', detail: missing });
    const mounts = mountsBelow(this.server.root);
    if (mounts.length > 0) found.push({ what: 'mounts leaked', detail: mounts });
    const unknown = this.#unknownKeys().filter((key) => this.#unknownKeys().includes(key));
    if (unknown.length > 0) found.push({ what: 'containerd has snapshots that layerstore does not', detail: unknown });
    return found;
  }
}

/** Keys of snapshots that are being unpacked hold a space, and `ctr` prints columns: their first word is unique. */
function firstWord(text: string): string {
  return text.split(/\s+/)[0] ?? '';
}
