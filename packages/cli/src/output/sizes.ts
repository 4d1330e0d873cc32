const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

/** Bytes as docker and podman print them: decimal, three significant digits, no space (`1.05kB`, `117MB`). */
export function humanSize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (Number(value.toPrecision(3)) >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${String(Number(value.toPrecision(3)))}${units[unit] ?? ''}`;
}
