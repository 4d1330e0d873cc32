import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mountsBelow, readMountTable } from '@layerstore/linux';
import { RequestIds } from '../../observability/request-ids.js';
import { serverLogger } from '../../observability/server-logger.js';
import { ServerMetrics } from '../../observability/server-metrics.js';
import { DockerPlugin, type DockerPluginOptions } from '../serve.js';
import { PluginClient } from './plugin-client.js';

/** A directory, the plugin in it, and its client. Disposing of it unmounts and deletes everything. */
export class ServedPlugin implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'layerstore-dp-'));
  readonly logged: Record<string, unknown>[] = [];
  readonly client = new PluginClient(join(this.directory, 'p.sock'));
  #plugin: DockerPlugin | undefined;

  private constructor(private readonly driver: string) {}

  static async start(driver: string): Promise<ServedPlugin> {
    const served = new ServedPlugin(driver);
    await served.serve();
    return served;
  }

  /** The same with a home that the engine has named. */
  static async initialised(driver: string): Promise<ServedPlugin> {
    const served = await ServedPlugin.start(driver);
    await served.client.call('Init', { Home: served.home, Opts: null });
    return served;
  }

  get home(): string {
    return join(this.directory, 'home');
  }

  get plugin(): DockerPlugin {
    if (this.#plugin === undefined) throw new Error('the plugin is not served');
    return this.#plugin;
  }

  options(): DockerPluginOptions {
    const logger = serverLogger({
      server: 'docker',
      level: 'debug',
      destination: { write: (line) => void this.logged.push(JSON.parse(line) as Record<string, unknown>) },
    });
    return {
      socket: this.client.socket,
      driver: this.driver,
      stateDirectory: join(this.directory, 'state'),
      observation: { logger, metrics: new ServerMetrics('docker'), requestIds: new RequestIds() },
    };
  }

  async serve(): Promise<void> {
    this.#plugin = await DockerPlugin.start(this.options());
  }

  async stop(): Promise<void> {
    const plugin = this.#plugin;
    this.#plugin = undefined;
    await plugin?.[Symbol.asyncDispose]();
  }

  mounts(): string[] {
    return mountsBelow(readMountTable(), this.directory).map((entry) => entry.mountPoint);
  }

  /** A file of the view that `Get` gives. */
  async inView<Result>(id: string, use: (view: string) => Result): Promise<Result> {
    const { Dir } = await this.client.call('Get', { ID: id });
    try {
      return use(Dir as string);
    } finally {
      await this.client.call('Put', { ID: id });
    }
  }

  async readFile(id: string, name: string): Promise<string> {
    return this.inView(id, (view) => readFileSync(join(view, name), 'utf8'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#plugin !== undefined && this.mounts().length > 0) await this.client.call('Cleanup');
    this.client[Symbol.dispose]();
    await this.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
