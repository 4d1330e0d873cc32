import type { KernelTables } from '../../kernel-tables.js';
import type { MountTableEntry } from '../../mount-table.js';
import { RecordingSyscalls } from '../../recording-syscalls.js';
import type { Syscalls } from '../../syscalls.js';
import type { AufsBranch } from '../aufs-branches.js';

/**
 * Stands in for a kernel with aufs: keeps the calls, and lists the mounts and branches that they would have made. What real ones answer
 * is written down in aufs-options.ts and was measured on aufs 6.1.
 */
export class RecordedAufs implements KernelTables {
  readonly sys: RecordingSyscalls;
  readonly #mounted = new Map<string, AufsBranch[]>();

  /** @param labels with SELinux */
  constructor(
    private readonly labels: 'labels' | 'no labels' = 'no labels',
    answers: Partial<Syscalls> = {},
  ) {
    this.sys = new RecordingSyscalls({
      statxIfPresent: (...args) => ({ ...new RecordingSyscalls().statx(...args), mode: 0o041777 }),
      ...answers,
      mount: (_source, target, _type, _flags, data) => {
        this.#take(String(target), String(data));
      },
      umount: (target) => {
        this.#mounted.delete(String(target));
      },
    });
  }

  mounts(): MountTableEntry[] {
    return [...this.#mounted.keys()].map((mountPoint, id) => ({
      id,
      parentId: 0,
      device: '0:40',
      root: '/',
      mountPoint,
      options: ['rw', 'relatime'],
      propagation: [],
      type: 'aufs',
      source: 'none',
      superOptions: ['rw', `si=${id}`, 'dio', 'dirperm1'],
    }));
  }

  aufsBranches(mount: MountTableEntry): readonly AufsBranch[] | undefined {
    return this.#mounted.get(mount.mountPoint);
  }

  takesLabels(): boolean {
    return this.labels === 'labels';
  }

  /** The data of each mount call with its flags, in order. */
  get mountCalls(): { flags: unknown; data: string }[] {
    return this.sys.argumentsOf('mount').map(([, , , flags, data]) => ({ flags, data: String(data) }));
  }

  #take(target: string, data: string): void {
    const branches = this.#mounted.get(target) ?? [];
    // A label's quotes hide the commas inside.
    for (const option of data.replace(/"[^"]*"/g, '').split(',')) {
      if (option.startsWith('br:')) branches.push(...option.slice(3).split(':').map(branch));
      if (option.startsWith('append:')) branches.push(branch(option.slice(7)));
    }
    this.#mounted.set(target, branches);
  }
}

function branch(text: string): AufsBranch {
  const [path = '', permission = ''] = text.split('=');
  return { path, permission };
}
