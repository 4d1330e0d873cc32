import { constants } from 'node:os';
import { S_IFREG } from './constants.js';
import { systemError } from './native/errno.js';
import type { FileStatus, FileSystemStatus, PeerProcess, PipeEnds, Syscalls } from './syscalls.js';

export type SyscallName = keyof Syscalls;

export interface RecordedCall {
  readonly name: SyscallName;
  /** As they were at the time of the call: bytes are copied. */
  readonly args: readonly unknown[];
}

type Arguments<Name extends SyscallName> = Parameters<Syscalls[Name]>;
type ErrnoName = keyof typeof constants.errno;

/**
 * Keeps what was called, without a kernel: the order of mount calls can be asserted without root.
 *
 * Calls succeed with plausible results (fresh descriptors, empty files) unless `answers` holds a function of that name:
 * `new RecordingSyscalls(nativeSyscalls())` records and passes everything on. {@link fail} makes a call fail.
 */
export class RecordingSyscalls implements Syscalls {
  readonly calls: RecordedCall[] = [];
  readonly #answers: Syscalls;
  readonly #failures: { readonly name: SyscallName; readonly code: ErrnoName; countdown: number }[] = [];

  constructor(answers: Partial<Syscalls> = {}) {
    this.#answers = { ...plausibleAnswers(), ...answers };
  }

  /** The names alone, in order. */
  get names(): SyscallName[] {
    return this.calls.map((call) => call.name);
  }

  /** The arguments of every call with this name, in order. */
  argumentsOf(name: SyscallName): (readonly unknown[])[] {
    return this.calls.filter((call) => call.name === name).map((call) => call.args);
  }

  /** Makes the `nth` call of `name` from now on fail, once; it is recorded all the same. */
  fail(name: SyscallName, code: ErrnoName, nth = 1): void {
    this.#failures.push({ name, code, countdown: nth });
  }

  #record(name: SyscallName, args: readonly unknown[]): void {
    const copies = args.map((value): unknown => (value instanceof Uint8Array ? Buffer.from(value) : value));
    this.calls.push({ name, args: copies });
    let failing: ErrnoName | undefined;
    for (const failure of this.#failures) {
      if (failure.name !== name) continue;
      failure.countdown--;
      if (failure.countdown === 0) failing = failure.code;
    }
    if (failing !== undefined) throw systemError(constants.errno[failing], name);
  }

  openat(...args: Arguments<'openat'>): number {
    this.#record('openat', args);
    return this.#answers.openat(...args);
  }

  openat2(...args: Arguments<'openat2'>): number {
    this.#record('openat2', args);
    return this.#answers.openat2(...args);
  }

  close(...args: Arguments<'close'>): void {
    this.#record('close', args);
    this.#answers.close(...args);
  }

  read(...args: Arguments<'read'>): number {
    this.#record('read', args);
    return this.#answers.read(...args);
  }

  write(...args: Arguments<'write'>): void {
    this.#record('write', args);
    this.#answers.write(...args);
  }

  ftruncate(...args: Arguments<'ftruncate'>): void {
    this.#record('ftruncate', args);
    this.#answers.ftruncate(...args);
  }

  mkdirat(...args: Arguments<'mkdirat'>): void {
    this.#record('mkdirat', args);
    this.#answers.mkdirat(...args);
  }

  mknodat(...args: Arguments<'mknodat'>): void {
    this.#record('mknodat', args);
    this.#answers.mknodat(...args);
  }

  symlinkat(...args: Arguments<'symlinkat'>): void {
    this.#record('symlinkat', args);
    this.#answers.symlinkat(...args);
  }

  readlinkat(...args: Arguments<'readlinkat'>): Buffer {
    this.#record('readlinkat', args);
    return this.#answers.readlinkat(...args);
  }

  linkat(...args: Arguments<'linkat'>): void {
    this.#record('linkat', args);
    this.#answers.linkat(...args);
  }

  renameat2(...args: Arguments<'renameat2'>): void {
    this.#record('renameat2', args);
    this.#answers.renameat2(...args);
  }

  unlinkat(...args: Arguments<'unlinkat'>): void {
    this.#record('unlinkat', args);
    this.#answers.unlinkat(...args);
  }

  statx(...args: Arguments<'statx'>): FileStatus {
    this.#record('statx', args);
    return this.#answers.statx(...args);
  }

  statxIfPresent(...args: Arguments<'statxIfPresent'>): FileStatus | undefined {
    this.#record('statxIfPresent', args);
    return this.#answers.statxIfPresent(...args);
  }

  fchownat(...args: Arguments<'fchownat'>): void {
    this.#record('fchownat', args);
    this.#answers.fchownat(...args);
  }

  fchmodat(...args: Arguments<'fchmodat'>): void {
    this.#record('fchmodat', args);
    this.#answers.fchmodat(...args);
  }

  fchmod(...args: Arguments<'fchmod'>): void {
    this.#record('fchmod', args);
    this.#answers.fchmod(...args);
  }

  utimensat(...args: Arguments<'utimensat'>): void {
    this.#record('utimensat', args);
    this.#answers.utimensat(...args);
  }

  futimens(...args: Arguments<'futimens'>): void {
    this.#record('futimens', args);
    this.#answers.futimens(...args);
  }

  getXattr(...args: Arguments<'getXattr'>): Buffer | undefined {
    this.#record('getXattr', args);
    return this.#answers.getXattr(...args);
  }

  setXattr(...args: Arguments<'setXattr'>): void {
    this.#record('setXattr', args);
    this.#answers.setXattr(...args);
  }

  removeXattr(...args: Arguments<'removeXattr'>): void {
    this.#record('removeXattr', args);
    this.#answers.removeXattr(...args);
  }

  listXattrs(...args: Arguments<'listXattrs'>): Buffer[] {
    this.#record('listXattrs', args);
    return this.#answers.listXattrs(...args);
  }

  fgetXattr(...args: Arguments<'fgetXattr'>): Buffer | undefined {
    this.#record('fgetXattr', args);
    return this.#answers.fgetXattr(...args);
  }

  fsetXattr(...args: Arguments<'fsetXattr'>): void {
    this.#record('fsetXattr', args);
    this.#answers.fsetXattr(...args);
  }

  flistXattrs(...args: Arguments<'flistXattrs'>): Buffer[] {
    this.#record('flistXattrs', args);
    return this.#answers.flistXattrs(...args);
  }

  fsync(...args: Arguments<'fsync'>): void {
    this.#record('fsync', args);
    this.#answers.fsync(...args);
  }

  syncfs(...args: Arguments<'syncfs'>): void {
    this.#record('syncfs', args);
    this.#answers.syncfs(...args);
  }

  flock(...args: Arguments<'flock'>): boolean {
    this.#record('flock', args);
    return this.#answers.flock(...args);
  }

  reflink(...args: Arguments<'reflink'>): boolean {
    this.#record('reflink', args);
    return this.#answers.reflink(...args);
  }

  copyFileRange(...args: Arguments<'copyFileRange'>): number {
    this.#record('copyFileRange', args);
    return this.#answers.copyFileRange(...args);
  }

  seekSparse(...args: Arguments<'seekSparse'>): number | undefined {
    this.#record('seekSparse', args);
    return this.#answers.seekSparse(...args);
  }

  statfs(...args: Arguments<'statfs'>): FileSystemStatus {
    this.#record('statfs', args);
    return this.#answers.statfs(...args);
  }

  mount(...args: Arguments<'mount'>): void {
    this.#record('mount', args);
    this.#answers.mount(...args);
  }

  umount(...args: Arguments<'umount'>): void {
    this.#record('umount', args);
    this.#answers.umount(...args);
  }

  fsopen(...args: Arguments<'fsopen'>): number {
    this.#record('fsopen', args);
    return this.#answers.fsopen(...args);
  }

  fsconfig(...args: Arguments<'fsconfig'>): void {
    this.#record('fsconfig', args);
    this.#answers.fsconfig(...args);
  }

  fsmount(...args: Arguments<'fsmount'>): number {
    this.#record('fsmount', args);
    return this.#answers.fsmount(...args);
  }

  moveMount(...args: Arguments<'moveMount'>): void {
    this.#record('moveMount', args);
    this.#answers.moveMount(...args);
  }

  openTree(...args: Arguments<'openTree'>): number {
    this.#record('openTree', args);
    return this.#answers.openTree(...args);
  }

  mountSetattr(...args: Arguments<'mountSetattr'>): void {
    this.#record('mountSetattr', args);
    this.#answers.mountSetattr(...args);
  }

  pipe(...args: Arguments<'pipe'>): PipeEnds {
    this.#record('pipe', args);
    return this.#answers.pipe(...args);
  }

  peerProcess(...args: Arguments<'peerProcess'>): PeerProcess {
    this.#record('peerProcess', args);
    return this.#answers.peerProcess(...args);
  }

  async umountInBackground(...args: Arguments<'umountInBackground'>): Promise<void> {
    this.#record('umountInBackground', args);
    return this.#answers.umountInBackground(...args);
  }

  mountLog(...args: Arguments<'mountLog'>): string {
    this.#record('mountLog', args);
    return this.#answers.mountLog(...args);
  }

  cloneFuseDevice(...args: Arguments<'cloneFuseDevice'>): void {
    this.#record('cloneFuseDevice', args);
    this.#answers.cloneFuseDevice(...args);
  }

  openFuseBacking(...args: Arguments<'openFuseBacking'>): number {
    this.#record('openFuseBacking', args);
    return this.#answers.openFuseBacking(...args);
  }

  closeFuseBacking(...args: Arguments<'closeFuseBacking'>): void {
    this.#record('closeFuseBacking', args);
    this.#answers.closeFuseBacking(...args);
  }

  unshare(...args: Arguments<'unshare'>): void {
    this.#record('unshare', args);
    this.#answers.unshare(...args);
  }

  setns(...args: Arguments<'setns'>): void {
    this.#record('setns', args);
    this.#answers.setns(...args);
  }

  chroot(...args: Arguments<'chroot'>): void {
    this.#record('chroot', args);
    this.#answers.chroot(...args);
  }

  pivotRoot(...args: Arguments<'pivotRoot'>): void {
    this.#record('pivotRoot', args);
    this.#answers.pivotRoot(...args);
  }

  chdir(...args: Arguments<'chdir'>): void {
    this.#record('chdir', args);
    this.#answers.chdir(...args);
  }

  sethostname(...args: Arguments<'sethostname'>): void {
    this.#record('sethostname', args);
    this.#answers.sethostname(...args);
  }
}

const emptyFile: FileStatus = {
  mode: S_IFREG | 0o644,
  links: 1,
  uid: 0,
  gid: 0,
  size: 0,
  allocated: 0,
  inode: 1n,
  deviceMajor: 0,
  deviceMinor: 1,
  specialMajor: 0,
  specialMinor: 0,
  modifiedNs: 0n,
  changedNs: 0n,
  accessedNs: 0n,
};

function plausibleAnswers(): Syscalls {
  let lastFd = 99;
  const fd = (): number => ++lastFd;
  const nothing = (): void => undefined;
  return {
    openat: fd,
    openat2: fd,
    close: nothing,
    read: () => 0,
    write: nothing,
    ftruncate: nothing,
    mkdirat: nothing,
    mknodat: nothing,
    symlinkat: nothing,
    readlinkat: () => Buffer.alloc(0),
    linkat: nothing,
    renameat2: nothing,
    unlinkat: nothing,
    statx: () => emptyFile,
    statxIfPresent: () => emptyFile,
    fchownat: nothing,
    fchmodat: nothing,
    fchmod: nothing,
    utimensat: nothing,
    futimens: nothing,
    getXattr: () => undefined,
    setXattr: nothing,
    removeXattr: nothing,
    listXattrs: () => [],
    fgetXattr: () => undefined,
    fsetXattr: nothing,
    flistXattrs: () => [],
    fsync: nothing,
    syncfs: nothing,
    flock: () => true,
    reflink: () => false,
    copyFileRange: () => 0,
    seekSparse: () => undefined,
    statfs: () => ({ type: 0xef53, blockSize: 4096, blocks: 1_000_000n, available: 500_000n, freeInodes: 100_000n }),
    mount: nothing,
    umount: nothing,
    umountInBackground: () => Promise.resolve(),
    pipe: () => ({ readEnd: fd(), writeEnd: fd() }),
    peerProcess: () => ({ pid: 1, uid: 0, gid: 0 }),
    fsopen: fd,
    fsconfig: nothing,
    fsmount: fd,
    moveMount: nothing,
    openTree: fd,
    mountSetattr: nothing,
    mountLog: () => '',
    cloneFuseDevice: nothing,
    openFuseBacking: () => 1,
    closeFuseBacking: nothing,
    unshare: nothing,
    setns: nothing,
    chroot: nothing,
    pivotRoot: nothing,
    chdir: nothing,
    sethostname: nothing,
  };
}
