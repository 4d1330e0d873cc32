import { digestOf } from '@layerstore/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { mediaTypes, type LayerCompression } from './media-type.js';
import { openImageSource } from './open-image-source.js';
import { planDockerArchive, planOciArchive } from './plan-archive.js';
import { blobPath, planOciLayout } from './plan-layout.js';
import { bytesOf, exported, type TestExport } from './testing/exports.js';
import { failure } from './testing/failure.js';
import { named, TestLayout, testImage } from './testing/images.js';
import { tarOf, writeTree } from './testing/tar.js';
import { Temporary } from './testing/temporary.js';
import { validateSource } from './validate.js';

const writers = {
  'docker-archive': (directory: Temporary, images: TestExport[]): string =>
    directory.write('a.tar', bytesOf(planDockerArchive(images))),
  'oci-archive': (directory: Temporary, images: TestExport[]): string =>
    directory.write('a.tar', bytesOf(planOciArchive(images))),
  'oci-layout': (directory: Temporary, images: TestExport[]): string =>
    writeTree(
      directory.path,
      planOciLayout(images).map(({ path, part }) => [path, part.kind === 'bytes' ? part.data : part.bytes]),
    ),
};

const anyImage = fc.record({
  name: fc.constantFrom('a', 'b', 'c', 'd'),
  layerCount: fc.integer({ min: 0, max: 4 }),
  references: fc.subarray(['docker.io/library/x:1', 'localhost/y:2', 'r.io:5000/z/w:3', 'r.io/v:4']),
  compression: fc.constantFrom<LayerCompression>('none', 'gzip', 'zstd'),
});

describe.each(Object.entries(writers))('a planned %s', (kind, writeTo) => {
  test('gives back every image with its names, and is consistent', async () => {
    const images = fc.uniqueArray(anyImage, {
      minLength: 1,
      selector: ({ name, layerCount }) => `${name}${layerCount}`,
    });
    await fc.assert(
      fc.asyncProperty(images, async (specifications) => {
        const list = specifications.map(({ name, layerCount, references, compression }) =>
          exported(testImage(name, { layerCount }), references, compression),
        );
        using directory = new Temporary();
        await using source = await openImageSource(writeTo(directory, list));
        expect(source.kind).toBe(kind);
        const back = await source.images();
        expect(back.map((image) => [image.config.digest, image.references])).toEqual(
          list.map((image) => [digestOf(image.config), image.references]),
        );
        expect(back.map((image) => image.layers.map((layer) => layer.digest))).toEqual(
          list.map((image) => image.layers.map((layer) => layer.digest)),
        );
        expect(await validateSource(source)).toEqual([]);
      }),
      { numRuns: 25 },
    );
  });
});

describe('a plan', () => {
  test('gives the same bytes each time, and each blob once', () => {
    const images = [exported(testImage('a', { layerCount: 2 }), ['a:1']), exported(testImage('a'), ['b:1'])];
    expect(bytesOf(planDockerArchive(images))).toEqual(bytesOf(planDockerArchive(images)));
    const paths = planOciLayout(images).map((file) => file.path);
    expect(new Set(paths).size).toBe(paths.length);
    expect(paths.filter((path) => path === blobPath(images[1]!.layers[0]!.digest))).toHaveLength(1);
  });

  test('states the sizes of what is written', () => {
    for (const file of planOciLayout([exported(testImage('a', { layerCount: 3 }), ['a:1'], 'gzip')])) {
      expect(file.size).toBe((file.part.kind === 'bytes' ? file.part.data : file.part.bytes).length);
    }
  });

  test('passes the content of layers through untouched, one part each', () => {
    const image = exported(testImage('a', { layerCount: 2 }), ['a:1']);
    const parts = planDockerArchive([image]).filter((part) => part.kind === 'layer');
    expect(parts).toEqual(image.layers.map((layer) => layer.content));
    expect(parts[0]).toBe(image.layers[0]?.content);
  });

  test('keeps the manifest that an image came with as long as its layers are in that form', async () => {
    using directory = new Temporary();
    const image = testImage('a');
    const layout = new TestLayout();
    const original = named(layout.addImage(image, { annotations: { kept: 'yes' } }), 'a:1');
    await using source = await openImageSource(directory.write('a.tar', tarOf(layout.members([original]))));
    const [record] = await source.images();
    expect(record?.manifest?.digest).toBe(original.digest);
    const manifest = record?.manifest;
    expect(manifest).toBeDefined();
    if (manifest === undefined) return;
    const plain = planOciLayout([{ ...exported(image, ['a:1']), manifest }]).map((file) => file.path);
    expect(plain).toContain(blobPath(original.digest));
    const packed = planOciLayout([{ ...exported(image, ['a:1'], 'gzip'), manifest }]).map((file) => file.path);
    expect(packed).not.toContain(blobPath(original.digest));
  });

  test('writes names as docker, podman, containerd and skopeo each look for them', () => {
    const image = exported(testImage('a'), ['docker.io/library/a:1', 'r.io/b:2']);
    const texts = planDockerArchive([image]).map((part) => (part.kind === 'bytes' ? part.data.toString('latin1') : ''));
    const text = texts.join('');
    expect(text).toContain('"RepoTags":["docker.io/library/a:1","r.io/b:2"]');
    expect(text).toContain(
      '"annotations":{"io.containerd.image.name":"docker.io/library/a:1","org.opencontainers.image.ref.name":"1"}',
    );
    expect(text).toContain(`"mediaType":"${mediaTypes.ociManifest}"`);
  });

  test('leaves a name that is only a digest to the annotations', async () => {
    using directory = new Temporary();
    const reference = `docker.io/library/a@${digestOf('x')}`;
    const image = exported(testImage('a'), [reference]);
    await using docker = await openImageSource(directory.write('d.tar', bytesOf(planDockerArchive([image]))));
    expect(docker.kind).toBe('oci-archive');
    expect(await docker.images()).toMatchObject([{ references: [reference] }]);
  });

  test('refuses layers that are not those of the config', async () => {
    const image = exported(testImage('a', { layerCount: 2 }), ['a:1']);
    const wrong = [
      { ...image, layers: image.layers.slice(1) },
      { ...image, layers: [...image.layers].reverse() },
    ];
    for (const one of wrong) {
      expect(await failure(() => planOciLayout([one]))).toMatchObject({ code: 'ERR_INVALID_ARGUMENT', subject: 'a:1' });
    }
  });
});
