import { StoreError } from '@layerstore/core';

/** @throws StoreError ERR_INVALID_ARGUMENT for a label that could smuggle other options into a mount */
export function checkLabel(label: string): void {
  if (/^[A-Za-z0-9_.:,-]+$/.test(label)) return;
  throw new StoreError('ERR_INVALID_ARGUMENT', 'not an SELinux label', {
    subject: JSON.stringify(label.slice(0, 100)),
    hint: 'a label looks like system_u:object_r:container_file_t:s0:c1,c2',
  });
}
