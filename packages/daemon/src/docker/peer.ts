import type { Socket } from 'node:net';
import { hasErrno, nativeSyscalls } from '@layerstore/linux';

/** The process at the other end of a Unix connection; 0 when it cannot be told. */
export function peerOf(socket: Socket): number {
  const fd = descriptorOf(socket);
  if (fd === undefined) return 0;
  try {
    return nativeSyscalls().peerProcess(fd).pid;
  } catch (error) {
    if (hasErrno(error, 'ENOTSOCK', 'ENOPROTOOPT', 'EBADF')) return 0;
    throw error;
  }
}

/** Node has no public way to a socket's descriptor; its handle has had this property since 0.10. */
function descriptorOf(socket: Socket): number | undefined {
  const { _handle: handle } = socket as unknown as { readonly _handle?: { readonly fd?: unknown } | null };
  return typeof handle?.fd === 'number' && handle.fd >= 0 ? handle.fd : undefined;
}
