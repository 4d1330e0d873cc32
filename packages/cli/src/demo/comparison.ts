import type { LoadedImage } from '@layerstore/store';

/** One thing that must hold at the end. */
export interface Comparison {
  readonly what: string;
  readonly holds: boolean;
  /** What was compared, or what differs. */
  readonly detail: string;
}

/** Whether two lists of digests are the same, in order. */
export function compareDigests(what: string, expected: readonly string[], found: readonly string[]): Comparison {
  const different = expected.findIndex((digest, index) => digest !== found[index]);
  if (expected.length === found.length && different < 0) {
    return {
      what,
      holds: true,
      detail: expected.length === 1 ? (expected[0] ?? '') : `${expected.length} of ${expected.length}`,
    };
  }
  const at = different < 0 ? expected.length : different;
  return { what, holds: false, detail: `number ${at + 1}: ${expected[at] ?? 'none'} became ${found[at] ?? 'none'}` };
}

/** Whether an image came back as it was saved: its ID and every diff ID. */
export function compareImages(what: string, saved: LoadedImage, loaded: LoadedImage | undefined): Comparison[] {
  const diffIds = (image: LoadedImage | undefined): string[] => (image?.layers ?? []).map(({ diffId }) => diffId);
  return [
    compareDigests(`${what}: diff IDs`, diffIds(saved), diffIds(loaded)),
    compareDigests(`${what}: image ID`, [saved.id], loaded === undefined ? [] : [loaded.id]),
  ];
}
