import { FUSE_ROOT_NODE, type NodeNumber } from '@layerstore/linux';

/** Nodes that one mount can have, and the bytes that their names can take; only what is used costs memory. */
const CAPACITY = 8_000_000;
const NAME_BYTES = 256 * 1024 * 1024;
const BUCKETS = 1 << 20;

const LOCK = 0;
const NODES = 1;
const NAMES_END = 2;

/** The memory of a {@link NodeTable}, for all threads of a server. */
export interface NodeTableMemory {
  readonly control: SharedArrayBuffer;
  readonly buckets: SharedArrayBuffer;
  /** Three words for each node: its parent, where its name begins, and the next node of its bucket. */
  readonly nodes: SharedArrayBuffer;
  /** For each node a byte with the length of its name, and the name. */
  readonly names: SharedArrayBuffer;
}

const WORDS = 3;

/**
 * The numbers under which the kernel knows files: each stands for a name in a directory, and is given once. Threads share the table;
 * looking up takes no lock. About 12 bytes and the name for each file that was ever looked at.
 */
export class NodeTable {
  readonly #control: Int32Array;
  readonly #buckets: Int32Array;
  readonly #nodes: Int32Array;
  readonly #names: Buffer;

  /** @param added is told of every new node before anybody else can see it */
  constructor(
    readonly memory: NodeTableMemory,
    private readonly added: (parent: NodeNumber, name: Uint8Array) => void,
  ) {
    this.#control = new Int32Array(memory.control);
    this.#buckets = new Int32Array(memory.buckets);
    this.#nodes = new Int32Array(memory.nodes);
    this.#names = Buffer.from(memory.names);
  }

  static allocate(): NodeTableMemory {
    const control = new SharedArrayBuffer(16);
    new Int32Array(control)[NODES] = FUSE_ROOT_NODE + 1;
    return {
      control,
      buckets: new SharedArrayBuffer(BUCKETS * 4),
      nodes: new SharedArrayBuffer(CAPACITY * WORDS * 4),
      names: new SharedArrayBuffer(NAME_BYTES),
    };
  }

  /** How many nodes there are, the root among them. */
  get size(): number {
    return Atomics.load(this.#control, NODES) - FUSE_ROOT_NODE;
  }

  has(node: NodeNumber): boolean {
    return node >= FUSE_ROOT_NODE && node < Atomics.load(this.#control, NODES);
  }

  /** The directory that a node is in; the root has none. */
  parent(node: NodeNumber): NodeNumber {
    return this.#word(node, 0);
  }

  /** A copy of the bytes of a node's name. */
  /** The names that lead to a node, from the root of the mount. */
  path(node: NodeNumber): Buffer[] {
    const names: Buffer[] = [];
    for (let at = node; at !== FUSE_ROOT_NODE; at = this.parent(at)) names.unshift(this.name(at));
    return names;
  }

  name(node: NodeNumber): Buffer {
    const start = this.#word(node, 1);
    const name = this.#names.subarray(start + 1, start + 1 + (this.#names[start] ?? 0));
    return Buffer.from(name);
  }

  /** The node of a name, a new one where it has none yet; undefined when the table is full. */
  number(parent: NodeNumber, name: Uint8Array): NodeNumber | undefined {
    const bucket = hash(parent, name) & (BUCKETS - 1);
    const known = this.#find(bucket, parent, name);
    if (known !== undefined) return known;
    this.#lock();
    try {
      return this.#find(bucket, parent, name) ?? this.#add(bucket, parent, name);
    } finally {
      this.#unlock();
    }
  }

  #find(bucket: number, parent: NodeNumber, name: Uint8Array): NodeNumber | undefined {
    for (let node = Atomics.load(this.#buckets, bucket); node !== 0; node = this.#word(node, 2)) {
      if (this.#word(node, 0) !== parent) continue;
      const start = this.#word(node, 1);
      if (this.#names[start] !== name.length) continue;
      if (this.#names.compare(name, 0, name.length, start + 1, start + 1 + name.length) === 0) return node;
    }
    return undefined;
  }

  #add(bucket: number, parent: NodeNumber, name: Uint8Array): NodeNumber | undefined {
    const node = this.#control[NODES] ?? 0;
    const start = this.#control[NAMES_END] ?? 0;
    if (node >= CAPACITY || start + 1 + name.length > NAME_BYTES) return undefined;
    this.added(parent, name);
    this.#names[start] = name.length;
    this.#names.set(name, start + 1);
    this.#nodes[node * WORDS] = parent;
    this.#nodes[node * WORDS + 1] = start;
    this.#nodes[node * WORDS + 2] = this.#buckets[bucket] ?? 0;
    this.#control[NAMES_END] = start + 1 + name.length;
    Atomics.store(this.#control, NODES, node + 1);
    // Others follow the bucket without the lock: what it leads to is complete.
    Atomics.store(this.#buckets, bucket, node);
    return node;
  }

  #word(node: NodeNumber, word: number): number {
    return this.#nodes[node * WORDS + word] ?? 0;
  }

  #lock(): void {
    while (Atomics.compareExchange(this.#control, LOCK, 0, 1) !== 0) Atomics.wait(this.#control, LOCK, 1, 10);
  }

  #unlock(): void {
    Atomics.store(this.#control, LOCK, 0);
    Atomics.notify(this.#control, LOCK, 1);
  }
}

/** FNV-1a. */
function hash(parent: number, name: Uint8Array): number {
  let value = 0x811c9dc5 ^ parent;
  for (const byte of name) value = Math.imul(value ^ byte, 0x01000193);
  return (value ^ (value >>> 15)) >>> 0;
}
