const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

/** Bytes as docker and podman print them: decimal, three significant digits, no space (`1.05kB`, `117MB`). */
export function humanSize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  // From 999.5 on, three digits would be rounded up to 1000.
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${String(Number(value.toPrecision(3)))}${units[unit] ?? ''}`;
}
