import { setImmediate as nextTurn } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { fileURLToPath } from 'node:url';
import { hasCode, toErrorRecord, type Logger } from '@layerstore/core';
import { LateAnswers, nativeSyscalls, type NodeNumber, type QueueMessage } from '@layerstore/linux';
import { openSqlite } from '@layerstore/sqlite';
import { formatHash, parseHash } from '../format/content-hash.js';
import type { ObjectReference } from '../format/object-reference.js';
import { answered } from '../repository/answered.js';
import { Repository } from '../repository/repository.js';
import type { RevisionChoice } from '../repository/revision-record.js';
import { BackingFiles } from './backing-files.js';
import type { QueueThreadStart } from './queue-thread.js';
import { LazyFileSystem } from './lazy-file-system.js';
import { serverDescriptors, type ServerStart } from './messages.js';
import type { Hint, Need, PinMessage, PinnedRevision } from './need.js';
import { appendNode, readNodes } from './node-journal.js';
import { NodeTable, type NodeTableMemory } from './node-table.js';
import { OpenRevisions } from './open-revisions.js';

const queueScript = fileURLToPath(new URL('../../dist/workers/cvmfs-file-queue.js', import.meta.url));

/**
 * Serves one mount: threads that answer the kernel from the cache directory, and in this thread the repository client, which fetches what they
 * miss and completes those requests.
 */
export class FileServer {
  readonly #threads: Worker[] = [];
  readonly #pins: PinMessage[] = [];
  readonly #recording = new Int32Array(new SharedArrayBuffer(4));
  readonly #opened = new Set<NodeNumber>();

  private constructor(
    private readonly repository: Repository,
    private readonly logger: Logger,
    private readonly memory: NodeTableMemory,
  ) {}

  get #nodes(): NodeTable {
    return new NodeTable(this.memory, () => undefined);
  }

  /**
   * Starts to serve. The process ends by itself once the mount has gone.
   * @param lost called when a thread fails: the server is of no use any more
   */
  static async start(start: ServerStart, logger: Logger, lost: (error: Error) => void): Promise<FileServer> {
    const { configuration, abilities, generation } = start;
    const repository = await Repository.open({ configuration, logger });
    const memory = NodeTable.allocate();
    const server = new FileServer(repository, logger, memory);
    const sys = nativeSyscalls();
    const { device, nodes: journal } = serverDescriptors;
    loadSqlite();
    const restored = new NodeTable(memory, () => undefined);
    readNodes(sys, journal, (parent, name) => restored.number(parent, name));
    const { limits, linkVariables } = configuration;
    const passthroughFrom = abilities.passthrough ? start.passthroughFrom : undefined;
    const fileSystem = new LazyFileSystem({
      sys,
      nodes: new NodeTable(memory, (parent, name) => appendNode(sys, journal, parent, name)),
      revisions: new OpenRevisions({
        local: repository.objects.local,
        limits,
        linkVariables,
        receive: () => server.#pins.splice(0),
      }),
      local: repository.objects.local,
      passthroughFrom,
      backing: new BackingFiles(sys, device, serverDescriptors.backing, logger),
      hint: (hint) => server.#take(hint, fileSystem),
      recording: server.#recording,
    });
    const answers = new LateAnswers<Need>(sys, {
      fileSystem,
      generation,
      satisfy: (need) => server.#satisfy(need),
      failed: (error, node) => logger.error({ error, node }, 'a request failed'),
    });
    const threadStart: QueueThreadStart = {
      device,
      journal,
      generation,
      memory,
      cacheDirectory: configuration.cacheDirectory,
      limits,
      linkVariables,
      passthroughFrom,
      recording: server.#recording,
    };
    for (let index = 0; index < start.threads; index++) {
      // Descriptors are closed by our own calls, which Node does not see.
      const thread = new Worker(queueScript, { workerData: threadStart, trackUnmanagedFds: false });
      thread.on('message', (message: QueueMessage | Hint) => {
        if (isHint(message)) server.#take(message, fileSystem);
        else answers.take(message);
      });
      thread.on('error', lost);
      server.#threads.push(thread);
    }
    const gone = Promise.all(
      server.#threads.map((thread) => new Promise<void>((resolve) => thread.on('exit', () => resolve()))),
    );
    void gone.then(() => repository[Symbol.asyncDispose]());
    for (const revision of start.revisions) server.pin(revision);
    for (const { rootHash } of start.revisions) if (!start.pinned.includes(rootHash)) server.unpin(rootHash);
    return server;
  }

  /** Finds a revision and brings its root catalog. @throws StoreError as `Repository.revision` */
  async resolve(choice: RevisionChoice): Promise<PinnedRevision> {
    using revision = await this.repository.revision(choice);
    const { record, publishedRevision } = revision;
    return {
      rootHash: formatHash(record.rootCatalog),
      record: { ...record, revision: record.revision ?? publishedRevision },
    };
  }

  /** Makes a revision visible; a request that comes after this call sees it. */
  pin(revision: PinnedRevision): void {
    this.#tell({ kind: 'pin', revision });
  }

  unpin(rootHash: string): void {
    this.#tell({ kind: 'unpin', rootHash });
  }

  /** Notes from now on which files are opened. */
  record(): void {
    this.#opened.clear();
    Atomics.store(this.#recording, 0, 1);
  }

  /** Ends it. @returns the files of a revision, by their paths below its root; those whose names are no text are left out */
  async recorded(rootHash: string): Promise<string[]> {
    Atomics.store(this.#recording, 0, 0);
    // What the threads have told by now.
    await nextTurn();
    const root = Buffer.from(rootHash, 'latin1');
    const paths = [...this.#opened].map((node) => this.#nodes.path(node));
    return paths.flatMap(([first, ...names]) => {
      const text = names.map((name) => name.toString());
      const isText = text.every((name, index) => names[index]?.equals(Buffer.from(name)));
      return first?.equals(root) === true && isText ? [text.join('/')] : [];
    });
  }

  /** Fetches files that will be wanted soon, of those in chunks the first; returns before they are there. */
  prefetch(rootHash: string, paths: readonly string[]): void {
    void this.#prefetch(rootHash, paths).catch((error: unknown) => {
      this.logger.warn({ error: toErrorRecord(error) }, 'a list of files could not be fetched');
    });
  }

  async #prefetch(rootHash: string, paths: readonly string[]): Promise<void> {
    const rootCatalog = parseHash(rootHash);
    if (rootCatalog === undefined) return;
    using revision = await this.repository.revision({ kind: 'root-hash', rootCatalog });
    const objects: ObjectReference[] = [];
    for (const path of paths) {
      const entry = await answered(revision, () => revision.lookup(`/${path}`));
      if (entry?.type !== 'file') continue;
      const content = await answered(revision, () => revision.content(entry));
      if (content === undefined || entry.size === 0) continue;
      objects.push(
        ...(content.kind === 'chunks' ? content.chunks.slice(0, 1).map((chunk) => chunk.object) : [content.object]),
      );
    }
    await this.#expect(objects);
  }

  #tell(message: PinMessage): void {
    this.#pins.push(message);
    for (const thread of this.#threads) thread.postMessage(message);
  }

  async #satisfy({ object, subject }: Need): Promise<void> {
    try {
      await this.repository.objects.fetch(object);
    } catch (error) {
      this.logger.error({ subject, object: formatHash(object.hash), error: toErrorRecord(error) }, 'cannot be read');
      throw error;
    }
  }

  #take(hint: Hint, fileSystem: LazyFileSystem): void {
    if (hint.kind === 'release') fileSystem.release(hint.node, 1);
    else if (hint.kind === 'opened') this.#opened.add(hint.node);
    else void this.#expect(hint.objects);
  }

  /** What fails here is asked for again by whoever needs it, and told then. */
  async #expect(objects: Extract<Hint, { kind: 'expect' }>['objects']): Promise<void> {
    try {
      await this.repository.objects.prefetch(objects);
    } catch (error) {
      if (!hasCode(error, 'ERR_ABORTED')) this.logger.warn({ error: toErrorRecord(error) }, 'reading ahead failed');
    }
  }
}

function isHint(message: QueueMessage | Hint): message is Hint {
  return message.kind === 'release' || message.kind === 'expect' || message.kind === 'opened';
}

/**
 * Before the threads are started: the loader of libsql asks Node for a report, for which Node waits until every thread has come back from the
 * kernel, and these do not.
 */
function loadSqlite(): void {
  openSqlite(':memory:').close();
}
