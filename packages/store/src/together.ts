/**
 * Does something with every item at once. The first failure stops the others through `signal`, and it is the one that is thrown, once
 * all have ended: what they worked in may be deleted then.
 * @param outer stops all of them
 * @returns the results, in the order of the items
 */
export async function together<Item, Result>(
  items: readonly Item[],
  work: (item: Item, signal: AbortSignal) => Promise<Result>,
  outer: AbortSignal | undefined,
): Promise<Result[]> {
  const stop = new AbortController();
  const signal = outer === undefined ? stop.signal : AbortSignal.any([stop.signal, outer]);
  const failures: unknown[] = [];
  const ended = items.map(async (item) => {
    try {
      return [await work(item, signal)];
    } catch (error) {
      failures.push(error);
      stop.abort();
      return [];
    }
  });
  const results = await Promise.all(ended);
  if (failures.length > 0) throw failures[0];
  return results.flat();
}
