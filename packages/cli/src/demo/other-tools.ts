import { readFileSync } from 'node:fs';
import { digestOf, type Digest } from '@layerstore/core';
import { compareDigests, type Comparison } from './comparison.js';
import type { ScratchDirectory } from './scratch-directory.js';
import { hasTool, runTool } from './tool.js';

export interface SavedArchives {
  readonly docker: string;
  readonly oci: string;
}

/** Lets another program read what was saved: skopeo, else podman; without either, nothing is compared. */
export async function compareWithOtherTools(
  scratch: ScratchDirectory,
  archives: SavedArchives,
  image: Digest,
  signal: AbortSignal,
): Promise<Comparison[]> {
  if (hasTool('skopeo')) return compareWithSkopeo(scratch, archives, image, signal);
  if (hasTool('podman')) return [await compareWithPodman(scratch, archives, image, signal)];
  return [];
}

/** `inspect --raw --config` gives the config's bytes, `copy` verifies every blob against its digest. */
async function compareWithSkopeo(
  scratch: ScratchDirectory,
  archives: SavedArchives,
  image: Digest,
  signal: AbortSignal,
): Promise<Comparison[]> {
  const environment = { TMPDIR: scratch.path };
  const comparisons: Comparison[] = [];
  for (const [kind, path] of [
    ['docker-archive', archives.docker],
    ['oci-archive', archives.oci],
  ] as const) {
    const source = `${kind}:${path}`;
    const config = await runTool('skopeo', ['inspect', '--raw', '--config', source], { signal, environment });
    comparisons.push(compareDigests(`skopeo inspect ${kind}: image ID`, [image], [digestOf(config)]));
    const copy = scratch.file(`skopeo-${kind}`);
    await runTool('skopeo', ['--insecure-policy', 'copy', '--quiet', source, `dir:${copy}`], { signal, environment });
    const manifest = JSON.parse(readFileSync(`${copy}/manifest.json`, 'utf8')) as { config?: { digest?: string } };
    comparisons.push(compareDigests(`skopeo copy ${kind}: image ID`, [image], [manifest.config?.digest ?? 'none']));
  }
  return comparisons;
}

async function compareWithPodman(
  scratch: ScratchDirectory,
  archives: SavedArchives,
  image: Digest,
  signal: AbortSignal,
): Promise<Comparison> {
  const environment = { TMPDIR: scratch.path };
  const own = ['--root', scratch.file('podman'), '--runroot', scratch.file('podman-run'), '--storage-driver', 'vfs'];
  await runTool('podman', [...own, 'load', '--quiet', '--input', archives.docker], { signal, environment });
  const listed = await runTool('podman', [...own, 'images', '--quiet', '--no-trunc'], { signal, environment });
  return compareDigests('podman load: image ID', [image], listed.toString('utf8').trim().split('\n'));
}
