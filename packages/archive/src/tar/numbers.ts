/**
 * Numbers as tar archives write them, parsed from bytes and formatted back.
 *
 * Parsers answer `undefined` for what is not a number or does not fit a safe integer.
 */

const SPACE = 0x20;
const ZERO = 0x30;
const NINE = 0x39;
const SEVEN = 0x37;
const MINUS = 0x2d;
const PLUS = 0x2b;
const POINT = 0x2e;

/** Digits of a fraction of a second that count: nanoseconds. */
const FRACTION_DIGITS = 9;
const NANOSECONDS = 1_000_000_000n;

/**
 * A numeric header field: base-256 when the first bit is set (GNU and star; two's complement), octal otherwise.
 * An octal field may be padded with spaces and NULs on both sides; an empty one is 0.
 */
export function parseNumericField(bytes: Uint8Array, start: number, end: number): number | undefined {
  return ((bytes[start] ?? 0) & 0x80) === 0 ? parseOctal(bytes, start, end) : parseBase256(bytes, start, end);
}

function parseOctal(bytes: Uint8Array, start: number, end: number): number | undefined {
  let from = start;
  let to = end;
  while (from < to && isPadding(bytes[from])) from += 1;
  while (to > from && isPadding(bytes[to - 1])) to -= 1;
  let value = 0;
  for (let index = from; index < to; index += 1) {
    const digit = bytes[index] ?? 0;
    if (digit === 0) return value;
    if (digit < ZERO || digit > SEVEN) return undefined;
    value = value * 8 + (digit - ZERO);
  }
  return value;
}

function isPadding(byte: number | undefined): boolean {
  return byte === SPACE || byte === 0;
}

function parseBase256(bytes: Uint8Array, start: number, end: number): number | undefined {
  const first = bytes[start] ?? 0;
  const negative = (first & 0x40) !== 0;
  const inversion = negative ? 0xff : 0;
  let value = (first ^ inversion) & 0x7f;
  for (let index = start + 1; index < end; index += 1) {
    value = value * 256 + ((bytes[index] ?? 0) ^ inversion);
    if (value > Number.MAX_SAFE_INTEGER) return undefined;
  }
  return negative ? -value - 1 : value;
}

/** One or more decimal digits and nothing else. */
export function parseDecimal(bytes: Uint8Array, start = 0, end = bytes.length): number | undefined {
  if (start >= end) return undefined;
  let value = 0;
  for (let index = start; index < end; index += 1) {
    const digit = bytes[index] ?? 0;
    if (digit < ZERO || digit > NINE) return undefined;
    value = value * 10 + (digit - ZERO);
    if (value > Number.MAX_SAFE_INTEGER) return undefined;
  }
  return value;
}

/**
 * A PAX time (POSIX.1-2017, pax, "extended header": decimal seconds with an optional fraction and sign) in
 * nanoseconds. What is finer than a nanosecond is rounded down, towards the past, as the kernel and GNU tar do.
 */
export function parseTime(bytes: Uint8Array): bigint | undefined {
  const negative = bytes[0] === MINUS;
  const start = negative || bytes[0] === PLUS ? 1 : 0;
  const point = bytes.indexOf(POINT, start);
  const seconds = parseDecimal(bytes, start, point === -1 ? bytes.length : point);
  if (seconds === undefined) return undefined;
  let fraction = 0;
  let finer = false;
  if (point !== -1) {
    for (let index = 0; index < FRACTION_DIGITS || point + 1 + index < bytes.length; index += 1) {
      const digit = bytes[point + 1 + index] ?? ZERO;
      if (digit < ZERO || digit > NINE) return undefined;
      if (index < FRACTION_DIGITS) fraction = fraction * 10 + (digit - ZERO);
      else finer ||= digit !== ZERO;
    }
  }
  const magnitude = BigInt(seconds) * NANOSECONDS + BigInt(fraction);
  if (!negative) return magnitude;
  return finer ? -magnitude - 1n : -magnitude;
}

/** The shortest PAX form of a time in nanoseconds, which {@link parseTime} reads back exactly. */
export function formatTime(nanoseconds: bigint): string {
  const magnitude = nanoseconds < 0n ? -nanoseconds : nanoseconds;
  const seconds = `${nanoseconds < 0n ? '-' : ''}${String(magnitude / NANOSECONDS)}`;
  const fraction = String(magnitude % NANOSECONDS)
    .padStart(FRACTION_DIGITS, '0')
    .replace(/0+$/, '');
  return fraction === '' ? seconds : `${seconds}.${fraction}`;
}

/** Whole seconds of a time in nanoseconds, rounded towards the past. */
export function wholeSeconds(nanoseconds: bigint): bigint {
  const seconds = nanoseconds / NANOSECONDS;
  return nanoseconds < 0n && nanoseconds % NANOSECONDS !== 0n ? seconds - 1n : seconds;
}

export function secondsToNanoseconds(seconds: number): bigint {
  return BigInt(seconds) * NANOSECONDS;
}

/** True when `value` can stand in an octal field of `length` bytes, one of which is the closing NUL. */
export function fitsOctal(value: number, length: number): boolean {
  return Number.isInteger(value) && value >= 0 && value < 8 ** (length - 1);
}

/** Writes zero-padded octal digits and a NUL. `value` must fit: {@link fitsOctal}. */
export function writeOctal(block: Uint8Array, offset: number, length: number, value: number): void {
  let rest = value;
  for (let index = offset + length - 2; index >= offset; index -= 1) {
    block[index] = ZERO + (rest % 8);
    rest = Math.floor(rest / 8);
  }
  block[offset + length - 1] = 0;
}
