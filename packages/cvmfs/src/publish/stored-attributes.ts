import { StoreError } from '@layerstore/core';
import {
  ATTRIBUTE_LIMIT,
  fitsExtendedAttributes,
  serialiseExtendedAttributes,
  type ExtendedAttribute,
} from '../format/extended-attributes.js';

const OVERLAY_NAMESPACES = ['trusted.overlay.', 'user.overlay.', 'user.fuseoverlayfs.'] as const;
/** What an overlay says of the content of a directory or file; without it the layer would show something else. */
const OPAQUE = 'opaque';
const UNREADABLE = ['redirect', 'metacopy', 'whiteout'] as const;

/**
 * The extended attributes of a layer's file as a catalog holds them; null for none. Of those that an overlay keeps for itself only the marks
 * of opaque directories belong to the layer.
 * @param subject names the file in errors
 * @throws StoreError ERR_LIMIT_EXCEEDED for attributes that do not fit into a catalog
 * @throws StoreError ERR_NOT_SUPPORTED for a file whose content lies in another layer
 */
export function storedAttributes(attributes: readonly ExtendedAttribute[], subject: string): Buffer | null {
  const kept = attributes.filter((attribute) => isKept(attribute, subject));
  if (fitsExtendedAttributes(kept)) return serialiseExtendedAttributes(kept);
  throw new StoreError(
    'ERR_LIMIT_EXCEEDED',
    `a repository holds ${ATTRIBUTE_LIMIT} extended attributes of a file, with names and values of ${ATTRIBUTE_LIMIT} bytes`,
    { subject, hint: 'remove the attribute, or use the image as an ordinary one' },
  );
}

function isKept({ name, value }: ExtendedAttribute, subject: string): boolean {
  const text = name.toString('latin1');
  const namespace = OVERLAY_NAMESPACES.find((candidate) => text.startsWith(candidate));
  if (namespace === undefined) return true;
  const rest = text.slice(namespace.length);
  if (UNREADABLE.some((word) => word === rest)) {
    throw new StoreError('ERR_NOT_SUPPORTED', `its content depends on other layers (${text})`, {
      subject,
      hint: 'mount overlays without redirect_dir and metacopy, or publish the layer from its tar',
    });
  }
  return rest === OPAQUE && value.toString('latin1') === 'y';
}
