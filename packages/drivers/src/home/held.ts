/** What holding a stack means to drivers whose trees are directories of their own. */
export const nothingHeld: AsyncDisposable = { [Symbol.asyncDispose]: () => Promise.resolve() };
