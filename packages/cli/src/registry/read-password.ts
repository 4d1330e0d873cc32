import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { usageError } from '../failures.js';

/**
 * Asks for a password on the terminal without showing it.
 * @throws StoreError ERR_INVALID_ARGUMENT where there is no terminal
 */
export async function readPassword(prompt: string): Promise<string> {
  if (!process.stdin.isTTY)
    throw usageError('--creds without a password, and no terminal to ask on', 'give --creds USER:PASSWORD');
  process.stderr.write(prompt);
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: silent, terminal: true });
  try {
    return await lines.question('');
  } finally {
    lines.close();
    process.stderr.write('\n');
  }
}
