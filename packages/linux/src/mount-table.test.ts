import { describe, expect, it } from 'vitest';
import { mountsBelow, parseMountTable, readMountTable } from './mount-table.js';

const text = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,errors=remount-ro
41 22 0:37 / /mnt/a\\040b\\011c\\012d\\134e\\043f ro,nosuid - overlay my\\040overlay rw,lowerdir=/x\\040y:/z,upperdir=/u
42 22 0:38 /sub /mnt/both rw shared:5 master:2 propagate_from:1 unbindable - tmpfs none rw
this line is not one
43 22 0:39
`;

describe('the mount table', () => {
  it('keeps every field, with blanks and backslashes decoded', () => {
    const [root, overlay, tmpfs, ...rest] = parseMountTable(text);
    expect(rest).toEqual([]);
    expect(root).toEqual({
      id: 22,
      parentId: 1,
      device: '254:0',
      root: '/',
      mountPoint: '/',
      options: ['rw', 'relatime'],
      propagation: ['shared:1'],
      type: 'ext4',
      source: '/dev/vda',
      superOptions: ['rw', 'errors=remount-ro'],
    });
    expect(overlay).toMatchObject({
      mountPoint: '/mnt/a b\tc\nd\\e#f',
      options: ['ro', 'nosuid'],
      propagation: [],
      source: 'my overlay',
      superOptions: ['rw', 'lowerdir=/x y:/z', 'upperdir=/u'],
    });
    expect(tmpfs).toMatchObject({
      root: '/sub',
      propagation: ['shared:5', 'master:2', 'propagate_from:1', 'unbindable'],
    });
  });

  it('finds the mounts on and below a directory, not beside it', () => {
    const below = (path: string): string[] => mountsBelow(parseMountTable(text), path).map((entry) => entry.mountPoint);
    expect(below('/mnt/both')).toEqual(['/mnt/both']);
    expect(below('/mnt/bot')).toEqual([]);
    expect(below('/mnt')).toHaveLength(2);
    expect(below('/')).toHaveLength(3);
  });

  it.skipIf(process.platform !== 'linux')('reads what this process sees (Linux only)', () => {
    expect(readMountTable()).toContainEqual(expect.objectContaining({ mountPoint: '/proc', type: 'proc' }));
  });
});
