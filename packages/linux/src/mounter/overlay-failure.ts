/** A kernel's refusal of an overlay; the mounter turns the last one into a StoreError. */
export class OverlayFailure extends Error {
  constructor(
    override readonly cause: unknown,
    /** What the kernel said about it; empty where it said nothing. */
    readonly text: string,
    /** The refusal may come from a kernel that lacks the interface, so that another one is worth trying. */
    readonly mayLackInterface: boolean,
  ) {
    super(text === '' && cause instanceof Error ? cause.message : text);
    this.name = 'OverlayFailure';
  }
}
