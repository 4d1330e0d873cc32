import { familiarName, parseReference } from '@layerstore/oci';

/** The spelling that users know, of a name from the database; one that cannot be parsed is shown as it is. */
export function familiar(canonical: string): string {
  try {
    return familiarName(parseReference(canonical));
  } catch {
    // The record was not written by this code: it must still be listed, and can be removed by its image's id.
    return canonical;
  }
}
