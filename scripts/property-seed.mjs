// Gives property tests their seed: a fixed one, so that a run can be repeated, LAYERSTORE_SEED=NUMBER, or LAYERSTORE_SEED=random,
// which looks for new counterexamples and prints the seed of one that it finds.
import fc from 'fast-check';

const asked = process.env.LAYERSTORE_SEED ?? '20261125';
if (asked !== 'random') {
  if (!/^-?\d+$/.test(asked)) throw new Error(`LAYERSTORE_SEED is ${asked}: a number or "random" was expected`);
  fc.configureGlobal({ seed: Number(asked) });
}
