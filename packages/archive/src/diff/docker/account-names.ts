/** Names of users and groups on the host, which dockerd writes into tars up to 20.10. */
import { readFileSync } from 'node:fs';
import { fromSystemError } from '@layerstore/core';
import { hasErrno } from '@layerstore/linux';

export interface AccountNames {
  readonly user: (uid: number) => Buffer;
  readonly group: (gid: number) => Buffer;
}

const none = Buffer.alloc(0);

export const noNames: AccountNames = { user: () => none, group: () => none };

/** Of /etc/passwd and /etc/group as they are now (passwd(5), group(5)); other sources of accounts are not asked. */
export function hostNames(): AccountNames {
  const users = namesById('/etc/passwd');
  const groups = namesById('/etc/group');
  return { user: (uid) => users.get(uid) ?? none, group: (gid) => groups.get(gid) ?? none };
}

/** Lines `name:password:id:...`; the first of an id counts. */
function namesById(path: string): Map<number, Buffer> {
  const names = new Map<number, Buffer>();
  for (const line of readOptional(path).split('\n')) {
    const [name = '', , id = ''] = line.split(':');
    if (name === '' || !/^\d+$/.test(id) || names.has(Number(id))) continue;
    names.set(Number(id), Buffer.from(name, 'latin1'));
  }
  return names;
}

function readOptional(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return '';
    throw fromSystemError(error, path);
  }
}
