import type { Method } from './store-messages.js';

/** How long each call may take, in milliseconds. A client with a shorter deadline of its own goes earlier. */
export type Timeouts = Readonly<Record<Method, number>>;

const short = 30_000;
/** A copy of an image (vfs), a walk of a container, or a slow disk that is written to its end. */
const long = 600_000;

export const defaultTimeouts: Timeouts = {
  prepare: long,
  view: short,
  mounts: short,
  commit: long,
  remove: short,
  stat: short,
  update: short,
  usage: long,
  list: short,
  cleanup: short,
  deletionsDue: short,
};
