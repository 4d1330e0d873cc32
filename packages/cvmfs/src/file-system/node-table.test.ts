import { closeSync, openSync, readFileSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { FUSE_ROOT_NODE, nativeSyscalls } from '@layerstore/linux';
import { describe, expect, test } from 'vitest';
import { TemporaryDirectory } from '../testing/temporary.js';
import { appendNode, readNodes } from './node-journal.js';
import { NodeTable } from './node-table.js';

const name = (text: string): Buffer => Buffer.from(text);

describe('node numbers', () => {
  test('are given once for a name in a directory, whoever shares the table asks', () => {
    const memory = NodeTable.allocate();
    const added: string[] = [];
    const one = new NodeTable(memory, (parent, bytes) => added.push(`${parent} ${Buffer.from(bytes).toString()}`));
    const other = new NodeTable(memory, () => added.push('by the other'));
    const directory = one.number(FUSE_ROOT_NODE, name('directory'))!;
    const file = one.number(directory, name('file'))!;
    expect(other.number(directory, name('file'))).toBe(file);
    expect(other.number(FUSE_ROOT_NODE, name('file'))).not.toBe(file);
    expect([other.parent(file), other.name(file).toString()]).toEqual([directory, 'file']);
    expect(added).toEqual(['1 directory', `${directory} file`, 'by the other']);
    expect([one.size, one.has(file), one.has(file + 2)]).toEqual([4, true, false]);
  });

  test('are the same after the server was killed, also in the middle of writing one down', () => {
    using directory = new TemporaryDirectory();
    const path = join(directory.path, 'nodes');
    const sys = nativeSyscalls();
    const fd = openSync(path, 'a+');
    const table = new NodeTable(NodeTable.allocate(), (parent, bytes) => appendNode(sys, fd, parent, bytes));
    const numbers = new Map<string, number>();
    for (let index = 0; index < 20_000; index++) {
      const text = `${'n'.repeat(index % 250)}${index}`;
      numbers.set(text, table.number(1 + (index % 7), name(text))!);
    }
    truncateSync(path, readFileSync(path).length - 3);
    const restored = new NodeTable(NodeTable.allocate(), () => undefined);
    readNodes(sys, fd, (parent, bytes) => restored.number(parent, bytes));
    // What was not written whole was never told to the kernel.
    expect(restored.size).toBe(table.size - 1);
    const whole = [...numbers].slice(0, -1);
    expect(whole.map(([text], index) => restored.number(1 + (index % 7), name(text)))).toEqual(
      whole.map(([, number]) => number),
    );
    appendNode(sys, fd, 1, name('next'));
    const seen: string[] = [];
    readNodes(sys, fd, (_, bytes) => seen.push(bytes.toString()));
    expect(seen.at(-1)).toBe('next');
    closeSync(fd);
  });
});
