import type { DockerPlugin, DockerPluginOptions } from './docker/serve.js';
import type { ContainerdServer, ServeContainerdOptions } from './containerd/serve.js';

export * from './observability/metrics-server.js';
export * from './observability/observe-request.js';
export * from './observability/request-ids.js';
export * from './observability/server-logger.js';
export * from './observability/server-metrics.js';

export { dockerPluginFiles, type DockerPluginFilesOptions, type SystemFile } from './docker/plugin-files.js';
export type { DockerPlugin, DockerPluginOptions } from './docker/serve.js';

export type { ContainerdServer, ServeContainerdOptions } from './containerd/serve.js';
export type { BackendsOptions, ServedRoot } from './containerd/backends.js';
export { containerdConfiguration, systemdService, systemdSocket } from './containerd/configuration.js';

/** Loads the plugin server and starts it. */
export async function serveDocker(options: DockerPluginOptions): Promise<DockerPlugin> {
  const { DockerPlugin } = await import('./docker/serve.js');
  return DockerPlugin.start(options);
}

/** Loads the gRPC server, which costs more than starting Node, and starts it. */
export async function serveContainerd(options: ServeContainerdOptions): Promise<ContainerdServer> {
  const { startContainerdServer } = await import('./containerd/serve.js');
  return startContainerdServer(options);
}
