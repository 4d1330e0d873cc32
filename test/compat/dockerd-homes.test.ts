/** Driver homes go back and forth between layerstore and the real dockerd: same layers, same bytes, same digests. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ArchiveWorkers, TarReader } from '@layerstore/archive';
import { parseLayerId, type LayerId } from '@layerstore/core';
import { layerDiffs, LayerViews, openDriver, type GraphDriver, type LayerDiffs } from '@layerstore/drivers';
import { treeFacts } from '@layerstore/drivers/conformance';
import { Mounter } from '@layerstore/linux';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DockerDaemon, hasDockerd } from '../support/dockerd.js';
import { copyHostPrograms } from '../support/host-root.js';
import { sha256 } from '../support/image.js';
import { hasProgram, Scratch } from '../support/scratch.js';

/** Not of the files that the engine makes for each container. */
const listing = 'ls -lAR -I hostname -I hosts -I mtab -I resolv.conf /etc /srv /data';
const programs = ['sh', 'cat', 'chmod', 'chown', 'ln', 'ls', 'mkdir', 'mkfifo', 'mknod', 'mv', 'rm', 'rmdir', 'touch'];
const withCapabilities = hasProgram('setcap');

/** Everything that headers can trip over: long, split and non-ASCII names, great ids, old times, links, devices. */
const edits = `
  set -e
  d=/data/a-directory-with-quite-a-long-name/another-directory-with-quite-a-long-name
  mkdir -p $d/third-directory-of-the-same-kind-so-that-the-path-needs-a-prefix
  echo one > $d/third-directory-of-the-same-kind-so-that-the-path-needs-a-prefix/file
  l=nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn
  echo long > /data/$l; mkdir /data/$l.d; touch /data/$l.d/x; ln -s /data/$l /data/link
  echo umlaut > /data/Grüße; mkdir /data/süß; ln -s Grüße /data/süß/ä
  echo -n > /data/empty; ln /data/empty /data/second-name; ln /data/Grüße /data/z-hard
  mkfifo -m 640 /data/fifo; mknod /data/null c 1 3; mknod /data/disk b 7 0
  echo set > /data/setuid; chown 3000000:70000 /data/setuid; chmod 6755 /data/setuid; chmod 1777 /data
  touch -d '1960-01-01 00:00:01' /data/old; touch -d '2024-01-02 03:04:05.678' /data/new
  echo changed > /etc/changed; chmod 600 /etc/mode; chown 5:6 /etc/owner; touch /etc/touched
  rm /etc/gone /etc/also-gone; rm -rf /srv/tree; rm -rf /srv/replaced; mkdir /srv/replaced; echo again > /srv/replaced/kept
  rm /srv/file; mkdir /srv/file; touch /srv/file/inside; rm -rf /srv/directory; echo now a file > /srv/directory
  mv /srv/moved /srv/moved-away; mkdir /srv/e; rmdir /srv/e
  echo x > /srv/a-b; mkdir /srv/a; echo y > /srv/a/x
`;

describe.skipIf(!hasDockerd).each(['overlay2', 'overlay', 'vfs'] as const)(
  'the %s home of dockerd (needs root and docker.io)',
  (name) => {
    let scratch: Scratch;
    let daemon: DockerDaemon;
    const workers = new ArchiveWorkers({ threads: 1 });
    const mounter = new Mounter();

    beforeAll(async () => {
      scratch = new Scratch('homes');
      daemon = await DockerDaemon.start(scratch.file('d'), { driver: name });
      makeImages(daemon, scratch);
    });
    afterAll(async () => {
      await daemon.stop();
      await workers[Symbol.asyncDispose]();
      scratch[Symbol.dispose]();
    });

    const open = async (): Promise<{ driver: GraphDriver; diffs: LayerDiffs; views: LayerViews }> => {
      const driver = await openDriver(name, join(daemon.dataRoot, name), { mounter });
      return { driver, diffs: layerDiffs(driver, { workers, mounter }), views: new LayerViews(driver, mounter) };
    };
    const layerdb = (...names: string[]): string => join(daemon.dataRoot, 'image', name, 'layerdb', ...names);
    const readId = (path: string): LayerId => parseLayerId(readFileSync(path, 'utf8'));
    const containerLayers = (container: string): { top: LayerId; init: LayerId } => {
      const id = daemon.docker('inspect', '-f', '{{.Id}}', container);
      return { top: readId(layerdb('mounts', id, 'mount-id')), init: readId(layerdb('mounts', id, 'init-id')) };
    };
    /** The directories of an image's layers, base first. */
    const imageLayers = (image: string): { id: LayerId; chain: string }[] => {
      const byDiffId = readdirSync(layerdb('sha256')).map((chain) => ({
        chain,
        id: readId(layerdb('sha256', chain, 'cache-id')),
        diffId: readFileSync(layerdb('sha256', chain, 'diff'), 'utf8'),
        parent: readOptional(layerdb('sha256', chain, 'parent')),
      }));
      const found: { id: LayerId; chain: string }[] = [];
      for (const diffId of diffIdsOf(image)) {
        const parent = found.at(-1)?.chain;
        const layer = byDiffId.find((each) => each.diffId === diffId && each.parent === parent);
        if (layer === undefined) throw new Error(`${diffId} is not in the layer database`);
        found.push({ id: layer.id, chain: `sha256:${layer.chain}` });
      }
      return found;
    };
    const diffIdsOf = (image: string): string[] =>
      JSON.parse(daemon.docker('inspect', '-f', '{{json .RootFS.Layers}}', image)) as string[];
    /** The tars of an image's layers by their diff IDs. */
    const savedLayers = (image: string): Map<string, Buffer> => {
      const directory = scratch.file(`saved-${image}-${savedCount++}`);
      mkdirSync(directory);
      daemon.docker('save', '-o', join(directory, 'image.tar'), image);
      execFileSync('tar', ['-C', directory, '-xf', join(directory, 'image.tar')]);
      const [manifest] = JSON.parse(readFileSync(join(directory, 'manifest.json'), 'utf8')) as [{ Layers: string[] }];
      const tars = manifest.Layers.map((layer) => readFileSync(join(directory, layer)));
      return new Map(tars.map((tar) => [`sha256:${sha256(tar)}`, tar]));
    };
    let savedCount = 0;

    test('is listed whole', async () => {
      const { driver } = await open();
      const { top, init } = containerLayers('box');
      const layers = await driver.list();
      expect(layers).toEqual(expect.arrayContaining([top, init, ...imageLayers('second').map(({ id }) => id)]));
      const known = readdirSync(join(daemon.dataRoot, ...(name === 'vfs' ? [name, 'dir'] : [name])));
      const own = ['l', '.layerstore', 'backingFsBlockDev'];
      expect([...layers].sort()).toEqual(known.filter((entry) => !own.includes(entry)).sort());
    });

    test('shows every layer as dockerd exports it', async () => {
      const { views } = await open();
      const { top } = containerLayers('box');
      mkdirSync(scratch.file('exported'));
      daemon.docker('export', '-o', scratch.file('exported.tar'), 'box');
      execFileSync('tar', ['-C', scratch.file('exported'), '-xpf', scratch.file('exported.tar'), '--xattrs-include=*']);
      await using view = await views.lease(top);
      const [shown, expected] = [treeFacts(view.path), treeFacts(scratch.file('exported'))];
      expect(withoutFractions(shown)).toEqual(withoutFractions(expected));
    });

    test('gives the very tar that dockerd commits', async () => {
      const { diffs } = await open();
      const { top, init } = containerLayers('box');
      const committed = commitWithinOneSecond();
      const madeAt = whiteoutTimes(committed.tar)[0] ?? 0;
      const path = scratch.file('ours.tar');
      const written = await diffs.diff(top, init, { path }, { tarRules: { rules: 'docker', madeAt } });
      expect(members(readFileSync(path))).toEqual(members(committed.tar));
      expect(readFileSync(path).equals(committed.tar)).toBe(true);
      expect(written.digest).toBe(committed.diffId);
    });

    test("lists the changes that dockerd lists, but for directories' times", async () => {
      const { diffs } = await open();
      const { top, init } = containerLayers('box');
      const shown = daemon.docker('diff', 'box').split('\n').sort();
      const letters = { add: 'A', modify: 'C', delete: 'D' } as const;
      const changes = await diffs.changes(top, init);
      expect(changes.map(({ kind, path }) => `${letters[kind]} ${path.toString()}`).sort()).toEqual(shown);
    });

    test('is rebuilt by create and apply, and dockerd runs and saves the image with equal digests', async () => {
      const { driver, diffs } = await open();
      const layers = imageLayers('second');
      const diffIds = diffIdsOf('second');
      const tars = savedLayers('second');
      const { top, init } = containerLayers('box');
      const before = daemon.docker('run', '--rm', '--network=none', 'second', '/bin/sh', '-c', listing);
      daemon.docker('rm', 'box');
      expect(await driver.exists(top)).toBe(false);
      expect(await driver.exists(init)).toBe(false);
      for (const { id } of [...layers].reverse()) await driver.remove(id);
      for (const [index, { id }] of layers.entries()) {
        const parent = layers[index - 1]?.id;
        await driver.create(id, parent === undefined ? {} : { parent });
        const path = scratch.file(`layer-${index}.tar`);
        execFileSync('sh', ['-c', 'cat > "$1"', 'sh', path], { input: tars.get(diffIds[index] ?? '') });
        expect((await diffs.applyDiff(id, { path })).diffId).toBe(diffIds[index]);
      }
      await daemon.stop();
      daemon = await DockerDaemon.start(scratch.file('d'), { driver: name });
      const again = daemon.docker('run', '--name=rebuilt', '--network=none', 'second', '/bin/sh', '-c', listing);
      expect(withoutLinkCounts(again)).toBe(withoutLinkCounts(before));
      expect(daemon.docker('diff', 'rebuilt')).toBe('');
      expect([...savedLayers('second').keys()]).toEqual(diffIds);
      daemon.docker('commit', 'rebuilt', 'third');
      expect(diffIdsOf('third')).toEqual(diffIds);
    });

    /** Naive whiteouts carry the time of writing, which must be one for the comparison. */
    function commitWithinOneSecond(): { tar: Buffer; diffId: string } {
      for (let attempt = 0; ; attempt += 1) {
        daemon.docker('commit', 'box', `committed-${attempt}`);
        const diffId = diffIdsOf(`committed-${attempt}`).at(-1) ?? '';
        const tar = savedLayers(`committed-${attempt}`).get(diffId);
        if (tar === undefined) throw new Error(`dockerd saves no layer ${diffId}`);
        if (whiteoutTimes(tar).length < 2) return { tar, diffId };
      }
    }
  },
);

/** `base`, `second` over it, built, and the stopped container `box` over that. */
function makeImages(daemon: DockerDaemon, scratch: Scratch): void {
  const root = scratch.file('root');
  mkdirSync(root);
  copyHostPrograms(root, withCapabilities ? [...programs, 'setcap'] : programs);
  const fill = `
    cd "$1"
    mkdir -p data srv/tree/deep srv/replaced srv/directory
    for name in changed mode owner touched gone also-gone same; do echo $name > etc/$name; done
    for name in tree/deep/one tree/two replaced/hidden replaced/kept directory/x file moved; do echo $name > srv/$name; done
    ln etc/same etc/same-again; ln -s same etc/link; chmod 4711 bin/ls; chown 7:8 srv`;
  execFileSync('sh', ['-c', fill, 'sh', root]);
  execFileSync('tar', ['-C', root, '-cf', scratch.file('root.tar'), '.']);
  daemon.docker('import', scratch.file('root.tar'), 'base');
  mkdirSync(scratch.file('context'));
  const build = `FROM base
RUN echo built > /etc/built && rm /etc/same-again && mkdir /srv/made && touch /srv/made/x
COPY Dockerfile /srv/made/
RUN ["/bin/rm", "/srv/made/x"]`;
  execFileSync('sh', ['-c', 'cat > "$1"', 'sh', scratch.file('context', 'Dockerfile')], { input: build });
  daemon.docker('build', '--network=none', '-t', 'second', scratch.file('context'));
  const capability = withCapabilities ? 'setcap cap_net_raw+ep /data/setuid' : '';
  daemon.docker('run', '--name=box', '--network=none', 'second', '/bin/sh', '-c', `${edits}\n${capability}`);
}

function readOptional(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** Archives of dockerd hold whole seconds; those of directories are not compared anyway. */
function withoutFractions(facts: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(facts).map(([path, fact]) => [path, fact.replace(/(-?\d+)\d{9}\b/g, '$1')]));
}

/** How many layers share a file differs with what else is in the home (overlay). */
function withoutLinkCounts(listing: string): string {
  return listing.replace(/^([-lpcbd][-rwxsStT]{9}) +\d+/gm, '$1');
}

function members(tar: Buffer): string[] {
  using reader = new TarReader([tar]);
  const found: string[] = [];
  for (let entry = reader.next(); entry !== undefined; entry = reader.next()) {
    const { type, name, linkName, mode, uid, gid, size, modifiedNs, xattrs } = entry;
    const attributes = xattrs.map((xattr) => xattr.name.toString()).join();
    found.push([type, name, linkName, mode.toString(8), uid, gid, size, modifiedNs, attributes].join(' '));
  }
  return found;
}

/** The times of naive whiteouts, which have no mode. */
function whiteoutTimes(tar: Buffer): number[] {
  using reader = new TarReader([tar]);
  const times = new Set<number>();
  for (let entry = reader.next(); entry !== undefined; entry = reader.next()) {
    if (entry.mode === 0 && /(^|\/)\.wh\.[^/]+$/.test(entry.name.toString())) {
      times.add(Number(entry.modifiedNs / 1_000_000_000n));
    }
  }
  return [...times];
}
