import { realTimeNs } from '@layerstore/linux';
import type { Timestamp } from '../model.js';

export function timestampNow(): Timestamp {
  const now = realTimeNs();
  return { seconds: Number(now / 1_000_000_000n), nanoseconds: Number(now % 1_000_000_000n) };
}
