import { join } from 'node:path';
import type { RepositoryConfiguration } from '../configuration/configuration.js';
import { Repository, type OpenRepositoryOptions } from '../repository/repository.js';
import { configurationOf } from './fixture.js';
import { RepositoryServer, type ServerOptions } from './repository-server.js';
import { TemporaryDirectory } from './temporary.js';
import { masterKey, TestRepository } from './test-repository.js';

/** A repository that the test writes, a server for it, and clients. Everything is closed at the end of the block. */
export class Scene implements AsyncDisposable {
  readonly #directory = new TemporaryDirectory();
  readonly #open: AsyncDisposable[] = [];
  readonly published = new TestRepository(join(this.#directory.path, 'repository'));

  path(name: string): string {
    return join(this.#directory.path, name);
  }

  async serve(options: ServerOptions = {}): Promise<RepositoryServer> {
    const server = await RepositoryServer.start(this.published.root, this.published.name, options);
    this.#open.push(server);
    return server;
  }

  configuration(servers: readonly string[], further: Partial<RepositoryConfiguration> = {}): RepositoryConfiguration {
    return configurationOf(servers, this.path('cache'), {
      name: this.published.name,
      masterKeys: [masterKey.publicPem],
      ...further,
    });
  }

  async client(
    servers: readonly string[],
    further: Partial<RepositoryConfiguration> = {},
    options: Omit<OpenRepositoryOptions, 'configuration'> = {},
  ): Promise<Repository> {
    const repository = await Repository.open({ configuration: this.configuration(servers, further), ...options });
    this.#open.push(repository);
    return repository;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const opened of this.#open.reverse()) await opened[Symbol.asyncDispose]();
    this.#directory[Symbol.dispose]();
  }
}
