import { encodePlainHeader, END_OF_ARCHIVE, padding } from '@layerstore/archive';
import { digestHex, digestOf } from '@layerstore/core';
import type { ThinDocument } from './thin-document.js';

/**
 * A thin image as a docker-archive: one layer, which holds `thin.json` and nothing else, and the config of the image that it stands for with
 * that layer in place of its own. Equal input gives equal bytes.
 * @param config bytes of the original's config
 */
export function thinArchive(config: Buffer, thin: ThinDocument, reference: string): Buffer {
  const layer = archive([['thin.json', Buffer.from(`${JSON.stringify(thin, undefined, 2)}\n`)]]);
  const original = JSON.parse(config.toString('utf8')) as Readonly<Record<string, unknown>>;
  const created = typeof original['created'] === 'string' ? { created: original['created'] } : {};
  const own = Buffer.from(
    JSON.stringify({
      ...original,
      rootfs: { type: 'layers', diff_ids: [digestOf(layer)] },
      history: [{ ...created, created_by: 'layerstore thin make', comment: thin.origin ?? '' }],
    }),
  );
  const configName = `${digestHex(digestOf(own))}.json`;
  const layerName = `${digestHex(digestOf(layer))}/layer.tar`;
  const manifest = [{ Config: configName, RepoTags: [reference], Layers: [layerName] }];
  return archive([
    [configName, own],
    [layerName, layer],
    ['manifest.json', Buffer.from(JSON.stringify(manifest))],
  ]);
}

function archive(files: readonly (readonly [name: string, content: Buffer])[]): Buffer {
  const members = files.flatMap(([name, content]) => [
    encodePlainHeader(name, 'file', content.length),
    content,
    padding(content.length),
  ]);
  return Buffer.concat([...members, END_OF_ARCHIVE]);
}
