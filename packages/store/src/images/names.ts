import { familiarName, parseReference } from '@layerstore/oci';

/**
 * Official images with a short name. Nothing in such a name needs a further look, and a store lists ten thousand of them; longer ones
 * may be an ID.
 */
const plainOfficial =
  /^docker\.io\/library\/((?=[^:]{1,63}:)[a-z0-9]+(?:[._-][a-z0-9]+)*:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})$/;

/** The spelling that users know, of a name from the database; one that cannot be parsed is shown as it is. */
export function familiar(canonical: string): string {
  const short = plainOfficial.exec(canonical)?.[1];
  if (short !== undefined) return short;
  try {
    return familiarName(parseReference(canonical));
  } catch {
    // The record was not written by this code: it must still be listed, and can be removed by its image's id.
    return canonical;
  }
}
