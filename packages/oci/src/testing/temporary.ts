import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A directory of a test, removed when the test ends. */
export class Temporary implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), 'layerstore-oci-'));

  join(...parts: string[]): string {
    return join(this.path, ...parts);
  }

  /** Writes a file and returns its path. */
  write(name: string, data: Buffer | string): string {
    const path = this.join(name);
    writeFileSync(path, data);
    return path;
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
