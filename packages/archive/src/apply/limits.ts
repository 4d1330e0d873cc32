import { defaultExpansionLimits, type ExpansionLimits } from '../compression/limits.js';
import { defaultTarLimits, type TarLimits } from '../tar/limits.js';

/** What a layer may cost before it is refused with ERR_LIMIT_EXCEEDED: its compressed form, its tar, its content. */
export interface ApplyLimits extends TarLimits, ExpansionLimits {
  /** Bytes of all files together, the holes of sparse files included. Default 1 TiB. */
  readonly contentBytes: number;
}

export const defaultApplyLimits: ApplyLimits = {
  ...defaultTarLimits,
  ...defaultExpansionLimits,
  contentBytes: 2 ** 40,
};

/** Fills what `limits` leaves out with the defaults. */
export function resolveApplyLimits(limits: Partial<ApplyLimits> = {}): ApplyLimits {
  return { ...defaultApplyLimits, ...limits };
}
