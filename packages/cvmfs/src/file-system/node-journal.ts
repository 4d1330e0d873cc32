import type { FileSyscalls, NodeNumber } from '@layerstore/linux';

/** Parent, length of the name; the name follows. */
const HEADER_BYTES = 5;
const READ_BYTES = 1024 * 1024;

/**
 * Writes down a node before the kernel hears of it, so that a server that is started after a kill gives every node the same number. The file
 * lives in memory and as long as the mount: it is never synced.
 * @param fd opened for appending, by all threads of the server
 */
export function appendNode(sys: FileSyscalls, fd: number, parent: NodeNumber, name: Uint8Array): void {
  const record = Buffer.allocUnsafe(HEADER_BYTES + name.length);
  record.writeUInt32LE(parent, 0);
  record.writeUInt8(name.length, 4);
  record.set(name, HEADER_BYTES);
  sys.write(fd, record);
}

/** Reads the nodes of a journal in their order, and cuts off one that was not written whole. */
export function readNodes(sys: FileSyscalls, fd: number, add: (parent: NodeNumber, name: Buffer) => void): void {
  let rest = Buffer.alloc(0);
  let end = 0;
  for (let position = 0; ;) {
    const chunk = Buffer.alloc(READ_BYTES);
    const count = sys.read(fd, chunk, position);
    if (count === 0) break;
    position += count;
    const data = Buffer.concat([rest, chunk.subarray(0, count)]);
    let at = 0;
    while (at + HEADER_BYTES <= data.length) {
      const next = at + HEADER_BYTES + data.readUInt8(at + 4);
      if (next > data.length) break;
      add(data.readUInt32LE(at), data.subarray(at + HEADER_BYTES, next));
      at = next;
    }
    end += at;
    rest = data.subarray(at);
  }
  if (rest.length > 0) sys.ftruncate(fd, end);
}
