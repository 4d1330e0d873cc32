import { StoreError } from '@layerstore/core';
import type { StoreContext } from '../context.js';
import type { Row } from '@layerstore/sqlite';
import type { ImageSummary } from '../model.js';
import { familiar } from './names.js';
import { allNamedImages, decodeImage, type ImageRecord } from './image-records.js';

/** Every image, newest first. A record that cannot be read is listed as damaged and hides no other. Cost: one query. */
export function listImages(context: StoreContext): ImageSummary[] {
  return allNamedImages(context.database).map(({ row, references }) => summaryOfRow(row, references));
}

export function imageSummary(image: ImageRecord, references: readonly string[]): ImageSummary {
  return {
    id: image.id,
    references: references.map(familiar),
    createdAt: new Date(image.created).toISOString(),
    size: image.size,
    layers: image.layers,
    os: image.os,
    architecture: image.variant === undefined ? image.architecture : `${image.architecture}/${image.variant}`,
  };
}

function summaryOfRow(row: Row, references: readonly string[]): ImageSummary {
  try {
    return imageSummary(decodeImage(row), references);
  } catch (error) {
    if (!StoreError.is(error)) throw error;
    return {
      id: String(row['id']) as ImageSummary['id'],
      references: references.map(familiar),
      createdAt: new Date(0).toISOString(),
      size: 0,
      layers: 0,
      os: '',
      architecture: '',
      damaged: error.message,
    };
  }
}
