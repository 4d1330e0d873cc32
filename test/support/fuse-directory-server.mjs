// Serves a directory through FUSE, as it was when the server started.
//
//   node fuse-directory-server.mjs SOURCE TARGET THREADS
//
// mounts and prints `PID` of the process that serves, a line for each time that one is started: when it is killed, another goes on
// with the same connection. It ends when the mount has gone.
//
// Files whose name begins with `late` are answered by the main thread, those with `never` not at all, with `unopened` not
// even when they are opened, `broken` with an exception.
// Files from 1 MiB on are read by the kernel itself where it can do that.
import { spawn } from 'node:child_process';
import { closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import {
  FUSE_ROOT_NODE,
  LateAnswers,
  Later,
  Failed,
  mountFuse,
  nativeSyscalls,
  serveFuseQueue,
} from '../../packages/linux/dist/index.js';

const script = fileURLToPath(import.meta.url);
const PASSTHROUGH_BYTES = 1024 * 1024;
const EISDIR = 21;
const SECOND = 1_000_000_000n;
const join = (directory, name) => Buffer.concat([directory, Buffer.from('/'), name]);

/** The tree of a directory; nodes are positions in a walk whose order is that of the names. */
class DirectoryFileSystem {
  #nodes = [undefined];
  #files = new Map();
  satisfied = new Set();

  constructor(root, { sys, backing }) {
    this.sys = sys;
    this.backing = backing;
    this.#add(Buffer.from(root), Buffer.alloc(0));
    for (let node = 1; node < this.#nodes.length; node++) {
      const { path, children } = this.#nodes[node];
      if (children === undefined) continue;
      const names = readdirSync(path, { encoding: 'buffer' }).sort(Buffer.compare);
      for (const name of names) children.set(name.toString('latin1'), this.#add(join(path, name), name));
    }
  }

  #add(path, name) {
    const status = this.sys.statx(-100, path, 0x100);
    const node = this.#nodes.length;
    const children = (status.mode & 0o170000) === 0o040000 ? new Map() : undefined;
    this.#nodes.push({ path, name, children, status });
    return node;
  }

  #entry(node) {
    const { status } = this.#nodes[node];
    const nanoseconds = ((status.modifiedNs % SECOND) + SECOND) % SECOND;
    return {
      node,
      cacheSeconds: 3600,
      attributes: {
        inode: node,
        mode: status.mode,
        links: status.links,
        uid: status.uid,
        gid: status.gid,
        size: status.size,
        major: status.specialMajor,
        minor: status.specialMinor,
        modifiedSeconds: Number((status.modifiedNs - nanoseconds) / SECOND),
        modifiedNanoseconds: Number(nanoseconds),
      },
    };
  }

  lookup(parent, name) {
    const node = this.#nodes[parent].children.get(name.toString('latin1'));
    return node === undefined ? { absentSeconds: 3600 } : this.#entry(node);
  }

  attributes(node) {
    return this.#entry(node);
  }

  readLink(node) {
    return readlinkSync(this.#nodes[node].path, { encoding: 'buffer' });
  }

  list(node, position, sink) {
    const children = [...this.#nodes[node].children.values()];
    for (let index = position; index < children.length; index++) {
      if (!sink(this.#nodes[children[index]].name, this.#entry(children[index]), index + 1)) return;
    }
  }

  open(node) {
    const { children, path, status } = this.#nodes[node];
    if (children !== undefined) return new Failed(EISDIR);
    if (this.#nodes[node].name.toString('latin1').startsWith('unopened')) return new Later({ kind: 'never' });
    if (status.size < PASSTHROUGH_BYTES || !this.passthrough) return { handle: 0 };
    if (this.backing === undefined) return new Later({ kind: 'backing' });
    return { handle: node, backingId: this.backing.open(node, path) };
  }

  read(node, _handle, offset, into) {
    const { name, path } = this.#nodes[node];
    const text = name.toString('latin1');
    if (text.startsWith('never')) return new Later({ kind: 'never' });
    if (text.startsWith('broken')) throw new Error('this file is broken');
    if (text.startsWith('late') && !this.satisfied.has(node)) return new Later({ kind: 'late', node });
    let fd = this.#files.get(node);
    if (fd === undefined) this.#files.set(node, (fd = openSync(path, 'r')));
    return readSync(fd, into, 0, into.length, offset);
  }

  release(node, handle) {
    if (handle === 0) return;
    if (this.backing === undefined) parentPort.postMessage({ kind: 'release', node });
    else this.backing.release(node);
  }

  xattr(node, name) {
    return this.sys.getXattr(this.#nodes[node].path, name);
  }

  xattrNames(node) {
    return this.sys.listXattrs(this.#nodes[node].path);
  }

  statistics() {
    return { blocks: 1000, files: this.#nodes.length - 1 };
  }
}

/** Descriptors that the kernel reads; a file that is open has one and the same id for everybody. */
class Backing {
  #ids = new Map();

  constructor(sys, device) {
    this.sys = sys;
    this.device = device;
  }

  open(node, path) {
    const known = this.#ids.get(node);
    if (known !== undefined) {
      known.count++;
      return known.id;
    }
    const fd = openSync(path, 'r');
    const id = this.sys.openFuseBacking(this.device, fd);
    closeSync(fd);
    this.#ids.set(node, { id, count: 1 });
    return id;
  }

  release(node) {
    const known = this.#ids.get(node);
    // Opened by a server that was killed.
    if (known === undefined || --known.count > 0) return;
    this.#ids.delete(node);
    this.sys.closeFuseBacking(this.device, known.id);
  }
}

function hold([source, target, threads]) {
  const sys = nativeSyscalls();
  const { device, abilities } = mountFuse(sys, { target, source, subtype: 'layerstore-test' });
  const start = () => {
    const child = spawn(process.execPath, [script, 'serve', source, threads, String(abilities.passthrough)], {
      stdio: ['ignore', 'inherit', 'inherit', device],
    });
    process.stdout.write(`${child.pid}\n`);
    child.on('exit', (code) => code !== 0 && start());
  };
  start();
}

function serve([source, threads, passthrough]) {
  const device = 3;
  const sys = nativeSyscalls();
  const fileSystem = new DirectoryFileSystem(source, { sys, backing: new Backing(sys, device) });
  fileSystem.passthrough = passthrough === 'true';
  const answers = new LateAnswers(sys, {
    fileSystem,
    generation: 7,
    satisfy: async (need) => {
      if (need.kind === 'never') await new Promise(() => undefined);
      if (need.kind !== 'late') return;
      await delay(20);
      fileSystem.satisfied.add(need.node);
    },
    failed: (error, node) => process.stdout.write(`failed ${node} ${error.message}\n`),
  });
  for (let thread = 0; thread < Number(threads); thread++) {
    const worker = new Worker(script, { workerData: { source, device, passthrough } });
    worker.on('message', (message) => {
      if (message.kind === 'release') fileSystem.release(message.node, 1);
      else answers.take(message);
    });
    worker.on('error', (error) => process.stdout.write(`thread: ${error.stack}\n`));
  }
}

if (!isMainThread) {
  const { source, device, passthrough } = workerData;
  const sys = nativeSyscalls();
  const fileSystem = new DirectoryFileSystem(source, { sys });
  fileSystem.passthrough = passthrough === 'true';
  serveFuseQueue(sys, { device, fileSystem, generation: 7, tell: (message) => parentPort.postMessage(message) });
} else if (process.argv[2] === 'serve') serve(process.argv.slice(3));
else hold(process.argv.slice(2));
