import { expect, test } from 'vitest';
import { modeText } from './modes.js';

test.each([
  [0o100644, '-rw-r--r--'],
  [0o040755, 'drwxr-xr-x'],
  [0o041777, 'drwxrwxrwt'],
  [0o104755, '-rwsr-xr-x'],
  [0o106000, '---S--S---'],
  [0o120777, 'lrwxrwxrwx'],
  [0o020666, 'crw-rw-rw-'],
  [0o060660, 'brw-rw----'],
  [0o010600, 'prw-------'],
  [0o140755, 'srwxr-xr-x'],
])('%o is shown as %s', (mode, text) => {
  expect(modeText(mode)).toBe(text);
});
