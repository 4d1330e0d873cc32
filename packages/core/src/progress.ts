/** What a long operation reports while it runs; sizes in bytes. Delivered to the `onProgress` option of the call. */
export type Progress =
  | { readonly kind: 'start'; readonly task: string; readonly label: string; readonly total?: number }
  | { readonly kind: 'advance'; readonly task: string; readonly done: number; readonly total?: number }
  | { readonly kind: 'wait'; readonly task: string; readonly label: string; readonly reason: string }
  | { readonly kind: 'end'; readonly task: string; readonly label: string; readonly outcome: ProgressOutcome };

/** `present`: the store had it already. */
export type ProgressOutcome = 'done' | 'present' | 'failed';

export type ProgressListener = (progress: Progress) => void;

/** Options that every long operation takes. */
export interface OperationOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: ProgressListener;
}
