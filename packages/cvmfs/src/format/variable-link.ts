const REFERENCE = /\$\(([A-Za-z_][A-Za-z0-9_]*)(?::-([^()]*))?\)/g;

/** Whether a link's text has variables that a client may expand: `$(NAME)`, `$(NAME:-default)`. */
export function hasVariables(link: Buffer): boolean {
  return link.toString('latin1').search(REFERENCE) >= 0;
}

/** Expands the variables of a link's text; one without a value or default becomes empty. */
export function expandVariables(link: Buffer, variables: Readonly<Record<string, string>>): Buffer {
  const expanded = link.toString('latin1').replace(REFERENCE, (_, name: string, fallback: string | undefined) => {
    const value = Object.hasOwn(variables, name) ? variables[name] : undefined;
    return value === undefined ? (fallback ?? '') : Buffer.from(value, 'utf8').toString('latin1');
  });
  return Buffer.from(expanded, 'latin1');
}
