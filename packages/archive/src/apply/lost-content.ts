/**
 * File content that tar-split refers to by name and that a later member of the same archive takes away.
 *
 * It is put into the layer's {@link SideRoom} until its bytes are written into the tar-split file.
 */
import type { FileSyscalls } from '@layerstore/linux';
import type { Directories } from './directories.js';
import type { Directory } from './directory.js';
import { cleanName } from './member-name.js';
import type { SideRoom } from './side-room.js';

interface Loss {
  /** tar-split position of the member that took the content's place; the content's own record stands before it. */
  readonly before: number;
  readonly savedAs: Buffer;
}

/** One tar-split record that refers to the content of a file. */
export interface ContentRecord {
  readonly position: number;
  readonly name: Buffer;
}

export class LostContent {
  /** Position of the member that is being applied. */
  position = 0;
  readonly #syscalls: FileSyscalls;
  readonly #directories: Directories;
  readonly #sideRoom: SideRoom;
  /** By path in latin1, earliest first. */
  readonly #losses = new Map<string, Loss[]>();

  constructor(syscalls: FileSyscalls, directories: Directories, sideRoom: SideRoom) {
    this.#syscalls = syscalls;
    this.#directories = directories;
    this.#sideRoom = sideRoom;
  }

  get any(): boolean {
    return this.#losses.size > 0;
  }

  /** Moves a regular file out of the way. */
  putAside(directory: Directory, name: Buffer): void {
    const savedAs = this.#sideRoom.freshName();
    const from = this.#directories.open(directory);
    const to = this.#directories.open(this.#sideRoom.directory());
    this.#syscalls.renameat2(from, name, to, savedAs, 0);
    const path = directory.pathOf(name);
    const losses = this.#losses.get(path) ?? [];
    losses.push({ before: this.position, savedAs });
    this.#losses.set(path, losses);
  }

  /**
   * Where the lost content is now, by the position of its record.
   *
   * A path holds one file at a time: each of its records but the last was lost before the next one, and a loss without a
   * record in front of it was of a hard link, whose content has its record under another name.
   * @param records in archive order, of files with content
   */
  resolve(records: Iterable<ContentRecord>): Map<number, string> {
    const saved = new Map<number, string>();
    for (const { position, name } of records) {
      const losses = this.#losses.get(cleanName(name).toString('latin1'));
      while (losses?.[0] !== undefined && losses[0].before <= position) losses.shift();
      const loss = losses?.shift();
      if (loss !== undefined) saved.set(position, this.#sideRoom.pathOf(loss.savedAs));
    }
    return saved;
  }
}
