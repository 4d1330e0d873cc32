import type { PathChange } from '@layerstore/store';
import { describe, expect, test } from 'vitest';
import { diffText } from './diff.js';

const changes: PathChange[] = [
  { kind: 'modify', path: '/etc' },
  { kind: 'add', path: '/etc/\u001b[2J' },
  { kind: 'delete', path: '/a\ufffd', pathBytes: Buffer.from([0x2f, 0x61, 0xff]).toString('base64') },
];

describe('the lines of diff', () => {
  test('are the names byte for byte, for a program', () => {
    const text = diffText(changes, { kinds: true, terminal: false });
    expect(text).toEqual(Buffer.from('C /etc\nA /etc/\u001b[2J\nD /a\xff\n', 'latin1'));
  });

  test('are printable, for a terminal', () => {
    expect(diffText(changes, { kinds: true, terminal: true }).toString()).toBe('C /etc\nA /etc/\\x1b[2J\nD /a\\xff\n');
  });

  test('are bare names when quiet', () => {
    expect(diffText(changes.slice(0, 1), { kinds: false, terminal: false }).toString()).toBe('/etc\n');
  });
});
