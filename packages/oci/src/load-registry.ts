import type * as Registry from './registry/registry.js';

/**
 * The registry client. It is loaded when it is first asked for: HTTP and TLS would cost every other command a good part of its start.
 */
export const loadRegistry = (): Promise<typeof Registry> => import('./registry/registry.js');
