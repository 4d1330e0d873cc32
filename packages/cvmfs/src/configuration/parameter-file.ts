/** Parameters of the standard client's files, by name. */
export type Parameters = ReadonlyMap<string, string>;

/** A line that cannot be understood without running it. */
export interface IgnoredLine {
  readonly line: number;
  readonly text: string;
}

const ASSIGNMENT = /^\s*(?:(?:export|readonly)\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)$/;
const REFERENCE = /\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))/g;

/**
 * Reads a file of the standard client, which is a shell script there, as data: lines `NAME=value` with a shell's quotes and with `$NAME` of what was
 * read before. Nothing is run: other lines, and values with command substitutions, are reported and passed over.
 * @param parameters what was read before; gets what the file adds
 */
export function parseParameters(text: string, parameters: Map<string, string>): IgnoredLine[] {
  const ignored: IgnoredLine[] = [];
  text.split('\n').forEach((line, index) => {
    if (/^\s*(#.*)?$/.test(line)) return;
    const [, name, rest = ''] = ASSIGNMENT.exec(line) ?? [];
    const value = name === undefined ? undefined : parseValue(rest, parameters);
    if (name === undefined || value === undefined) ignored.push({ line: index + 1, text: line.trim() });
    else parameters.set(name, value);
  });
  return ignored;
}

/** The first word, of pieces that are bare or in quotes; undefined for what only a shell could tell. */
function parseValue(text: string, parameters: Parameters): string | undefined {
  let value = '';
  let rest = text;
  while (rest !== '' && !/^[\s;]/.test(rest)) {
    const [whole, single, double, bare] = /^(?:'([^']*)'|"((?:[^"\\]|\\.)*)"|([^\s;'"]+))/.exec(rest) ?? [];
    if (whole === undefined) return undefined;
    const open = double === undefined ? bare : double.replace(/\\([$`"\\])/g, '$1');
    if (open !== undefined && /`|\$\(|\$\{[A-Za-z0-9_]*[^A-Za-z0-9_}]/.test(double ?? open)) return undefined;
    value += single ?? expand(open ?? '', parameters);
    rest = rest.slice(whole.length);
  }
  return /^\s*(?:;\s*)?(?:#.*)?$/.test(rest) ? value : undefined;
}

function expand(text: string, parameters: Parameters): string {
  return text.replace(
    REFERENCE,
    (_, braced: string | undefined, plain: string | undefined) => parameters.get(braced ?? plain ?? '') ?? '',
  );
}
