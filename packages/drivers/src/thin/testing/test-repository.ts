/** A repository as a plain directory, for tests: laid out as publishers do it, and with the key that makes it a trusted one. */
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { nativeSyscalls, S_IFCHR, AT_FDCWD } from '@layerstore/linux';

/** What a layer holds, by path: the text of a file; `whiteout` and `opaque` in overlay form; a name that ends in `/` is a directory. */
export type LayerContent = Readonly<Record<string, string | typeof whiteout | typeof opaque>>;
export const whiteout = Symbol('whiteout');
export const opaque = Symbol('opaque');

export interface ListedLayer {
  readonly digest: string;
  readonly url: string;
}

export class TestRepository {
  readonly path: string;
  readonly keys: string;

  constructor(
    readonly directory: string,
    readonly name = 'images.example.org',
  ) {
    this.path = join(directory, 'mounts', name);
    this.keys = join(directory, 'keys');
    for (const path of [this.path, this.keys]) mkdirSync(path, { recursive: true });
    writeFileSync(join(this.keys, `${name}.pub`), '');
  }

  /** Storage options with which a driver shows its layers. */
  get options(): Record<string, string> {
    return {
      cvmfsMountMethod: 'external',
      cvmfsMountPath: join(this.directory, 'mounts'),
      'thin.keys': this.keys,
    };
  }

  /** Publishes a layer; `key` stands for its digest. */
  publish(key: string, content: LayerContent): ListedLayer {
    const digest = createHash('sha256').update(key).digest('hex');
    const path = `.layers/${digest.slice(0, 2)}/${digest}/layerfs`;
    writeLayer(join(this.path, path), content);
    return { digest, url: `cvmfs://${this.name}/${path}` };
  }
}

export function writeLayer(root: string, content: LayerContent): void {
  const sys = nativeSyscalls();
  mkdirSync(root, { recursive: true });
  for (const [name, value] of Object.entries(content)) {
    const path = join(root, name);
    mkdirSync(name.endsWith('/') ? path : dirname(path), { recursive: true });
    if (value === whiteout) sys.mknodat(AT_FDCWD, path, S_IFCHR, 0, 0);
    else if (value === opaque) sys.setXattr(path, Buffer.from('trusted.overlay.opaque'), Buffer.from('y'));
    else if (!name.endsWith('/')) writeFileSync(path, value);
  }
}

export function thinJson(layers: readonly ListedLayer[], fields: Readonly<Record<string, unknown>> = {}): string {
  return JSON.stringify({ version: '1.0', layers, ...fields });
}
