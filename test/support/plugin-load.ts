/** Many clients that make, fill, change, commit and remove layers at once, while the plugin is killed at random moments. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { answerOf, PluginClient, type Answer } from '../../packages/daemon/src/docker/testing/plugin-client.js';
import { DockerPluginProcess, type PluginOptions } from './docker-plugin.js';
import { tarOf } from '../../packages/daemon/src/docker/testing/archives.js';

export interface LoadOptions {
  readonly clients: number;
  readonly milliseconds: number;
  /** Mean time between two kills; none when absent. */
  readonly killEvery?: number;
  readonly driver: string;
}

export interface LoadResult {
  readonly cycles: number;
  readonly kills: number;
  /** Cycles that a kill has interrupted. */
  readonly interrupted: number;
  /** Layers that were reported complete and not removed, with what was not as it was left. */
  readonly kept: number;
  readonly lost: readonly string[];
  /** Answers that no kill explains. */
  readonly faults: readonly string[];
  /** Bytes, greatest resident set of the plugin that was seen. */
  readonly memory: number;
  /** Seconds: the longest that the thread which speaks the protocol did not turn, of all plugin processes. */
  readonly worstDelay: number;
}

/** An exchange that broke, as it does when the plugin is killed. */
class Broken extends Error {}

export class PluginLoad implements AsyncDisposable {
  /** Complete layers by id: what must be in their file `own`. */
  readonly #complete = new Map<string, string>();
  readonly #faults: string[] = [];
  #cycles = 0;
  #interrupted = 0;
  #memory = 0;
  #worstDelay = 0;
  #ending = false;

  private constructor(
    private readonly directory: string,
    private readonly options: LoadOptions,
    private plugin: DockerPluginProcess,
  ) {}

  static async start(directory: string, options: LoadOptions): Promise<PluginLoad> {
    const load = new PluginLoad(directory, options, await DockerPluginProcess.start(directory, pluginOptions(options)));
    using client = load.client();
    await client.call('Init', { Home: load.home });
    return load;
  }

  get home(): string {
    return join(this.directory, 'home');
  }

  client(): PluginClient {
    return new PluginClient(join(this.directory, 'plugin.sock'));
  }

  async run(): Promise<LoadResult> {
    const clients = Array.from({ length: this.options.clients }, (_, number) => this.#work(number));
    const kills = this.#kill();
    await delay(this.options.milliseconds);
    this.#ending = true;
    await Promise.all(clients);
    const killed = await kills;
    await this.#measure();
    const lost = await this.#verify();
    return {
      cycles: this.#cycles,
      kills: killed,
      interrupted: this.#interrupted,
      kept: this.#complete.size,
      lost,
      faults: this.#faults,
      memory: this.#memory,
      worstDelay: this.#worstDelay,
    };
  }

  /** Removes every layer that is there. @returns what is left in the home afterwards, in the driver's own words */
  async removeAll(layers: readonly string[]): Promise<string | undefined> {
    using client = this.client();
    await client.call('Cleanup');
    for (const id of layers) await client.call('Remove', { ID: id });
    const { Status } = (await client.call('Status')) as { Status: [string, string][] };
    return new Map(Status).get('Layerstore Layers');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.plugin.stop();
  }

  async #work(number: number): Promise<void> {
    using client = this.client();
    for (let cycle = 0; !this.#ending; cycle += 1) {
      try {
        await this.#cycle(client, `c${number}-${cycle}`);
        this.#cycles += 1;
      } catch (error) {
        if (!(error instanceof Broken)) this.#faults.push(String(error));
        this.#interrupted += 1;
        await delay(100);
      }
    }
  }

  /** Pull, run, commit, run again, remove most of it. */
  async #cycle(client: PluginClient, name: string): Promise<void> {
    const [base, box, commit] = [`${name}-base`, `${name}-box`, `${name}-commit`];
    const content = createHash('sha256').update(name).digest('hex').repeat(500);
    await this.#call(client, 'Create', { ID: base });
    await this.#apply(client, base, tarOf({ own: content, 'deep/er/file': name }));
    this.#complete.set(base, content);
    await this.#call(client, 'CreateReadWrite', { ID: box, Parent: base });
    const { Dir } = await this.#call(client, 'Get', { ID: box });
    writeFileSync(join(Dir as string, 'own'), `${content}${name}`);
    const { Changes } = await this.#call(client, 'Changes', { ID: box, Parent: base });
    if (JSON.stringify(Changes) !== '[{"Path":"/own","Kind":0}]')
      this.#faults.push(`${box}: ${JSON.stringify(Changes)}`);
    await this.#call(client, 'Create', { ID: commit, Parent: base });
    await this.#commit(client, { box, base, commit });
    this.#complete.set(commit, `${content}${name}`);
    await this.#call(client, 'Put', { ID: box });
    await this.#remove(client, box);
    if (Math.random() < 0.1) return;
    await this.#remove(client, commit);
    await this.#remove(client, base);
  }

  async #commit(client: PluginClient, { box, base, commit }: Record<'box' | 'base' | 'commit', string>): Promise<void> {
    const diff = client.begin('GraphDriver.Diff');
    diff.on('error', () => undefined);
    diff.end(JSON.stringify({ ID: box, Parent: base }));
    const [archive] = (await unbroken(once(diff, 'response'))) as [IncomingMessage];
    archive.on('error', () => apply.destroy());
    const apply = client.begin(`GraphDriver.ApplyDiff?id=${commit}&parent=${base}`);
    archive.pipe(apply);
    success(await unbroken(answerOf(apply)));
  }

  async #call(client: PluginClient, method: string, body: object): Promise<Record<string, unknown>> {
    const answer = success(await unbroken(client.post(`GraphDriver.${method}`, Buffer.from(JSON.stringify(body)))));
    return JSON.parse(answer.body.toString()) as Record<string, unknown>;
  }

  async #apply(client: PluginClient, id: string, archive: Buffer): Promise<void> {
    success(await unbroken(client.applyDiff(id, archive)));
  }

  /** While it is asked for, nobody knows whether it is still there. */
  async #remove(client: PluginClient, id: string): Promise<void> {
    this.#complete.delete(id);
    await this.#call(client, 'Remove', { ID: id });
  }

  async #kill(): Promise<number> {
    const { killEvery } = this.options;
    let kills = 0;
    if (killEvery === undefined) return kills;
    for (;;) {
      await delay(killEvery * (0.5 + Math.random()));
      if (this.#ending) return kills;
      await this.#measure();
      await this.plugin.stop('SIGKILL');
      this.plugin = await DockerPluginProcess.start(this.directory, pluginOptions(this.options));
      kills += 1;
    }
  }

  async #measure(): Promise<void> {
    const status = readFileSync(`/proc/${this.plugin.pid}/status`, 'utf8');
    this.#memory = Math.max(this.#memory, 1024 * Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0));
    const port = /"port":(\d+)/.exec(this.plugin.log)?.[1] ?? '';
    const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    const delaySeen = /^layerstore_docker_event_loop_delay_worst_seconds\{thread="protocol"\} (\S+)$/m.exec(
      metrics,
    )?.[1];
    this.#worstDelay = Math.max(this.#worstDelay, Number(delaySeen));
  }

  /** Ids of complete layers whose content is not what was put there. */
  async #verify(): Promise<string[]> {
    using client = this.client();
    const lost: string[] = [];
    for (const [id, content] of this.#complete) {
      try {
        const { Dir } = await client.call('Get', { ID: id });
        if (readFileSync(join(Dir as string, 'own'), 'utf8') !== content) lost.push(id);
        await client.call('Put', { ID: id });
      } catch (error) {
        lost.push(`${id}: ${String(error)}`);
      }
    }
    return lost;
  }
}

const pluginOptions = ({ driver }: LoadOptions): PluginOptions => ({ driver, arguments: ['--metrics', '127.0.0.1:0'] });

/** @throws Broken instead of what sockets throw */
async function unbroken<Result>(exchange: Promise<Result>): Promise<Result> {
  try {
    return await exchange;
  } catch (cause) {
    throw new Broken('the exchange broke', { cause });
  }
}

function success(answer: Answer): Answer {
  if (!answer.complete) throw new Broken('the answer broke off');
  const text = answer.body.toString();
  // A diff that broke off on its way makes the archive that is made of it end early.
  if (answer.status === 200) return answer;
  if (text.includes('went away') || text.includes('cancelled')) throw new Broken(text);
  throw new Error(`${answer.status} ${text}`);
}

/** Every name in a home that may be a layer of a client. */
export function layersIn(home: string, driver: string): string[] {
  const place = driver === 'vfs' ? join(home, 'dir') : driver === 'aufs' ? join(home, 'diff') : home;
  return readdirSync(place).filter((name) => name.startsWith('c'));
}
