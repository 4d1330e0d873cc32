/** What skopeo, podman, buildah and umoci write is loaded, and what layerstore saves is read by them: digests stay equal. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LayerStore, type LoadedImage } from '@layerstore/store';
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest';
import { makeDockerArchive, threeLayers, type TestImage } from '../support/image.js';
import { hasProgram, isRoot, Scratch } from '../support/scratch.js';

describe.skipIf(!isRoot)('images of other programs (needs root)', () => {
  let scratch: Scratch;
  let image: TestImage;

  beforeAll(() => {
    scratch = new Scratch('compat');
    image = makeDockerArchive(scratch.file('made'), threeLayers, { reference: 'docker.io/library/made:1' });
  });
  afterAll(() => scratch[Symbol.dispose]());

  const need = (context: TestContext, ...programs: string[]): void => {
    const absent = programs.filter((program) => !hasProgram(program));
    if (absent.length > 0) context.skip(`${absent.join(' and ')} not installed`);
  };
  const run = (program: string, ...argv: string[]): string =>
    execFileSync(program, argv, { encoding: 'utf8', stdio: 'pipe' });
  const skopeo = (...argv: string[]): string => run('skopeo', '--insecure-policy', ...argv);
  const load = async (name: string, path: string): Promise<LoadedImage> => {
    await using store = await LayerStore.open({ root: scratch.file(`root-${name}`) });
    const [loaded] = await store.images.load({ path });
    if (loaded === undefined) throw new Error(`nothing was loaded from ${path}`);
    expect(await store.check({ verify: true })).toMatchObject({ findings: [], leftovers: [] });
    return loaded;
  };
  const diffIds = (loaded: LoadedImage): string[] => loaded.layers.map((layer) => layer.diffId);

  it.for([
    ['docker-archive', 'docker-archive:', ':made:1'],
    ['oci-archive', 'oci-archive:', ':made:1'],
    ['oci', 'oci:', ':1'],
    ['dir', 'dir:', ''],
  ] as const)('loads what skopeo writes as %s', async ([name, transport, suffix], context) => {
    need(context, 'skopeo');
    const path = scratch.file(`skopeo-${name}`);
    skopeo('copy', `docker-archive:${image.path}`, `${transport}${path}${suffix}`);
    const loaded = await load(`skopeo-${name}`, path);
    expect(diffIds(loaded)).toEqual(image.diffIds);
  });

  it('loads an index of several platforms by choice, and a layout with zstd layers', async (context) => {
    need(context, 'skopeo');
    const path = scratch.file('skopeo-zstd');
    skopeo(
      'copy',
      '--dest-compress-format',
      'zstd',
      '--dest-compress',
      `docker-archive:${image.path}`,
      `oci:${path}:1`,
    );
    const manifests = JSON.parse(readFileSync(join(path, 'index.json'), 'utf8')) as { manifests: object[] };
    const [first] = manifests.manifests;
    writeFileSync(
      join(path, 'index.json'),
      JSON.stringify({
        schemaVersion: 2,
        manifests: [
          { ...first, platform: { os: 'linux', architecture: 'amd64' } },
          { ...first, digest: `sha256:${'0'.repeat(64)}`, platform: { os: 'linux', architecture: 's390x' } },
        ],
      }),
    );
    await using store = await LayerStore.open({ root: scratch.file('root-index') });
    const [loaded] = await store.images.load({ path }, { platform: 'linux/amd64' });
    expect(loaded?.layers.map((layer) => layer.diffId)).toEqual(image.diffIds);
    await expect(store.images.load({ path }, { platform: 'linux/riscv64' })).rejects.toMatchObject({
      code: 'ERR_NO_PLATFORM',
    });
  });

  it('podman and buildah: what they save is loaded, what layerstore saves they load', async (context) => {
    need(context, 'podman', 'buildah');
    const storage = [
      '--root',
      scratch.file('podman/root'),
      '--runroot',
      scratch.file('podman/run'),
      '--storage-driver',
      'vfs',
    ];
    mkdirSync(scratch.file('podman'), { recursive: true });
    run('podman', ...storage, 'load', '-q', '-i', image.path);
    const names = ['docker-archive', 'oci-archive'] as const;
    for (const format of names) {
      const path = scratch.file(`podman-${format}.tar`);
      run('podman', ...storage, 'save', '-q', '--format', format, '-o', path, 'docker.io/library/made:1');
      const loaded = await load(`podman-${format}`, path);
      expect(diffIds(loaded)).toEqual(image.diffIds);
      await using store = await LayerStore.open({ root: scratch.file(`root-podman-${format}`) });
      const saved = scratch.file(`saved-${format}.tar`);
      await store.images.save([loaded.id], { path: saved }, { format });
      run('podman', ...storage, 'load', '-q', '-i', saved);
      expect(run('podman', ...storage, 'image', 'exists', loaded.id.slice('sha256:'.length))).toBe('');
    }
    const built = scratch.file('buildah.tar');
    const container = run('buildah', ...storage, 'from', 'docker.io/library/made:1').trim();
    run('buildah', ...storage, 'config', '--author', 'somebody', container);
    run('buildah', ...storage, 'commit', '-q', container, `oci-archive:${built}`);
    const loaded = await load('buildah', built);
    expect(diffIds(loaded).slice(0, 3)).toEqual(image.diffIds);
  });

  it('umoci: a layout that it changed is loaded, and one that layerstore saved is unpacked alike', async (context) => {
    need(context, 'skopeo', 'umoci');
    const layout = scratch.file('umoci');
    skopeo('copy', `docker-archive:${image.path}`, `oci:${layout}:1`);
    writeFileSync(scratch.file('inserted'), 'by umoci');
    run('umoci', 'insert', '--image', `${layout}:1`, scratch.file('inserted'), '/srv/inserted');
    const loaded = await load('umoci', layout);
    expect(diffIds(loaded).slice(0, 3)).toEqual(image.diffIds);
    expect(loaded.references).toEqual(['umoci:1']);
    await using store = await LayerStore.open({ root: scratch.file('root-umoci') });
    await store.images.save(['umoci:1'], { path: scratch.file('again') }, { format: 'oci-dir', compression: 'gzip' });
    run('umoci', 'unpack', '--image', `${scratch.file('again')}:1`, scratch.file('bundle'));
    await using view = await store.workspaces.create('umoci:1');
    const difference = execFileSync('diff', ['-r', '--no-dereference', view.path, scratch.file('bundle/rootfs')], {
      encoding: 'utf8',
    });
    expect(difference).toBe('');
  });

  it('skopeo copies what layerstore saved with equal image IDs, compressed layers too', async (context) => {
    need(context, 'skopeo');
    await using store = await LayerStore.open({ root: scratch.file('root-saved') });
    await store.images.load({ path: image.path });
    for (const [format, transport] of [
      ['docker-archive', 'docker-archive'],
      ['oci-archive', 'oci-archive'],
      ['oci-dir', 'oci'],
    ] as const) {
      const compression = format === 'docker-archive' ? 'none' : 'gzip';
      const path = scratch.file(`for-skopeo-${format}`);
      await store.images.save(['made:1'], { path }, { format, compression });
      const config = skopeo('inspect', '--config', '--raw', `${transport}:${path}`);
      expect(JSON.parse(config)).toMatchObject({ rootfs: { diff_ids: image.diffIds } });
      const [loaded] = await store.images.load({ path });
      expect(loaded?.id).toBe(image.id);
    }
  });
});
