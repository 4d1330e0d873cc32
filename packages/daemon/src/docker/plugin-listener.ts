import {
  createServer as createHttpServer,
  type IncomingMessage,
  type Server as HttpServer,
  type ServerResponse,
} from 'node:http';
import { mkdirSync } from 'node:fs';
import type { Socket } from 'node:net';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fromSystemError } from '@layerstore/core';
import { UnixListener } from '../grpc/unix-listener.js';
import { requireSocketOn } from './activated-socket.js';

export type Answer = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

export interface ListenerPlace {
  /** Absolute path of the socket. */
  readonly path: string;
  /** The descriptor on which the service manager listens there already. */
  readonly descriptor?: number;
}

/** How long no request may have come before a draining server breaks connections, in milliseconds. */
const QUIET = 100;

/**
 * An HTTP server on a Unix socket that never ends a connection of its own accord: an engine that sends a request into a
 * connection which is just being closed repeats it without its body.
 */
export class PluginListener implements AsyncDisposable {
  readonly #http: HttpServer;
  readonly #sockets = new Set<Socket>();
  #running = 0;
  #lastRequest = 0;
  #draining = false;

  #socket: UnixListener | undefined;

  private constructor(private readonly answer: Answer) {
    this.#http = httpServer((request, response) => void this.#serve(request, response));
  }

  /** @throws StoreError as {@link UnixListener.listen} and {@link requireSocketOn} */
  static async listen({ path, descriptor }: ListenerPlace, answer: Answer): Promise<PluginListener> {
    const listener = new PluginListener(answer);
    if (descriptor === undefined) makeDirectory(dirname(path));
    else requireSocketOn(path, descriptor);
    const target = descriptor === undefined ? { path } : { fd: descriptor };
    listener.#socket = await UnixListener.listen(target, (socket) => listener.#connect(socket));
    return listener;
  }

  /**
   * Takes no new connections, lets what runs come to its end, asks clients to use their connections no more, and breaks those
   * that are left when nothing has come for a moment. New connections fail meanwhile, which engines repeat safely.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#draining = true;
    await this.#socket?.[Symbol.asyncDispose]();
    this.#lastRequest = performance.now();
    while (this.#running > 0 || performance.now() - this.#lastRequest < QUIET) await delay(10);
    for (const socket of this.#sockets) socket.destroy();
  }

  #connect(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    this.#http.emit('connection', socket);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#running += 1;
    this.#lastRequest = performance.now();
    if (this.#draining) response.setHeader('connection', 'close');
    const done = new Promise<void>((resolve) => response.once('close', resolve));
    try {
      await this.answer(request, response);
      await done;
    } finally {
      this.#running -= 1;
      this.#lastRequest = performance.now();
    }
  }
}

/** Engines make the directories of plugins themselves, but later. */
function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true });
  } catch (error) {
    throw fromSystemError(error, path);
  }
}

/** Engines send an empty Host header, and archives for as long as they take. */
function httpServer(answer: (request: IncomingMessage, response: ServerResponse) => void): HttpServer {
  const server = createHttpServer({
    requireHostHeader: false,
    requestTimeout: 0,
    headersTimeout: 0,
    keepAliveTimeout: 0,
  });
  server.timeout = 0;
  server.on('request', answer);
  server.on('clientError', (_error, socket) => {
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n');
    else socket.destroy();
  });
  return server;
}
