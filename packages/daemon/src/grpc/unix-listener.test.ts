import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { execFileSync } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Scratch } from '../../../../test/support/scratch.js';
import { UnixListener } from './unix-listener.js';

describe('UnixListener', () => {
  let scratch: Scratch;
  let path: string;
  beforeEach(() => {
    scratch = new Scratch('listener');
    path = scratch.file('socket');
  });
  afterEach(() => scratch[Symbol.dispose]());

  it('lets only its owner connect, whatever the umask, and takes its socket away', async () => {
    const before = process.umask(0);
    try {
      await using _listener = await UnixListener.listen({ path }, (connection) => void connection.end('hello'));
      expect(statSync(path).mode & 0o777).toBe(0o600);
      expect(readdirSync(scratch.path)).toEqual(['socket']);
      const connection = createConnection({ path });
      const [data] = (await once(connection, 'data')) as [Buffer];
      expect(data.toString()).toBe('hello');
      connection.destroy();
    } finally {
      process.umask(before);
    }
    expect(existsSync(path)).toBe(false);
  });

  it('refuses to take the place of a server that answers', async () => {
    await using _first = await UnixListener.listen({ path }, (connection) => void connection.destroy());
    await expect(UnixListener.listen({ path }, () => undefined)).rejects.toMatchObject({ code: 'ERR_BUSY' });
    expect(existsSync(path)).toBe(true);
  });

  it('takes the place of a server that was killed', async () => {
    const program = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
    expect(() => execFileSync(process.execPath, ['-e', program], { stdio: 'ignore' })).toThrow();
    expect(existsSync(path)).toBe(true);
    await using _listener = await UnixListener.listen({ path }, () => undefined);
  });

  it.each([
    ['a file in the way', (socket: string) => writeFileSync(socket, 'precious'), 'ERR_EXISTS'],
    ['a directory in the way', (socket: string) => mkdirSync(socket), 'ERR_EXISTS'],
  ])('refuses %s and leaves it', async (_, make, code) => {
    make(path);
    await expect(UnixListener.listen({ path }, () => undefined)).rejects.toMatchObject({ code });
    expect(existsSync(path)).toBe(true);
  });

  it('refuses a path that is too long or leads nowhere', async () => {
    const long = scratch.file('x'.repeat(120));
    await expect(UnixListener.listen({ path: long }, () => undefined)).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
    });
    const nowhere = scratch.file('missing/socket');
    await expect(UnixListener.listen({ path: nowhere }, () => undefined)).rejects.toMatchObject({
      code: 'ERR_NOT_FOUND',
    });
  });
});
