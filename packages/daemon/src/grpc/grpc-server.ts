import type { Socket } from 'node:net';
import grpc, { type ServiceDefinition, type UntypedServiceImplementation } from '@grpc/grpc-js';
import { UnixListener, type ListenTarget } from './unix-listener.js';

/** Bytes; containerd's own limit for both directions. */
export const messageLimit = 16 * 1024 * 1024;

export interface GrpcServerOptions {
  readonly listen: ListenTarget;
  readonly service: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
  /** How long calls may go on after the server was told to stop, in milliseconds. */
  readonly graceMs: number;
}

/** A gRPC server on a Unix socket. */
export class GrpcServer implements AsyncDisposable {
  private constructor(
    private readonly server: grpc.Server,
    private readonly listener: UnixListener,
    private readonly graceMs: number,
  ) {}

  /** @throws StoreError as {@link UnixListener.listen} */
  static async start(options: GrpcServerOptions): Promise<GrpcServer> {
    const server = new grpc.Server({
      'grpc.max_receive_message_length': messageLimit,
      'grpc.max_send_message_length': messageLimit,
      // Counts for a debugging service that is not served; a tenth of the time of a call.
      'grpc.enable_channelz': 0,
    });
    server.addService(options.service, options.implementation);
    const injector = server.createConnectionInjector(grpc.ServerCredentials.createInsecure());
    const accept = (connection: Socket): void => {
      // A client that goes away in the middle of a frame is no fault of the server.
      connection.on('error', () => connection.destroy());
      injector.injectConnection(connection);
    };
    const listener = await UnixListener.listen(options.listen, accept);
    return new GrpcServer(server, listener, options.graceMs);
  }

  /** Takes no more calls, lets those that run end within the grace, and ends the others. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.listener[Symbol.asyncDispose]();
    await new Promise<void>((resolve) => {
      const giveUp = setTimeout(() => {
        this.server.forceShutdown();
        resolve();
      }, this.graceMs);
      this.server.tryShutdown(() => {
        clearTimeout(giveUp);
        resolve();
      });
    });
  }
}
