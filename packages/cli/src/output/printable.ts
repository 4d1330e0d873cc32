/**
 * Names in images, layers and histories are written by strangers. A terminal obeys escape sequences, and directional marks
 * make one name look like another, so both are shown as `\xNN` or `\u{N}`.
 */
const unsafe = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/** The text with everything that a terminal could obey made visible. */
export function printable(text: string): string {
  return text.replace(unsafe, (character) => escapeOf(character.charCodeAt(0)));
}

/** The same for bytes: what is not UTF-8 is shown byte by byte. */
export function printableBytes(bytes: Buffer): string {
  const text = bytes.toString('utf8');
  if (Buffer.from(text, 'utf8').equals(bytes)) return printable(text);
  return [...bytes].map((byte) => (byte < 0x20 || byte > 0x7e ? escapeOf(byte) : String.fromCharCode(byte))).join('');
}

/** JSON that is the same value, with those characters escaped that `JSON.stringify` leaves as they are. */
export function printableJson(value: unknown): string {
  return JSON.stringify(value, null, 2).replace(unsafe, (character) =>
    character === '\n' ? character : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function escapeOf(code: number): string {
  return code <= 0xff ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
}
