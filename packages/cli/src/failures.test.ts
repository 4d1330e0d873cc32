import { StoreError } from '@layerstore/core';
import { describe, expect, test } from 'vitest';
import { Finished, report } from './failures.js';

const reported = (error: unknown, options?: { stack: boolean }): { text: string; exit: number } => {
  let text = '';
  const exit = report(error, { write: (part) => (text += part) }, options);
  return { text, exit };
};

describe('an error on the command line', () => {
  test('is its message, then its hint', () => {
    const error = new StoreError('ERR_IMAGE_NOT_FOUND', 'the image does not exist', {
      subject: 'debian:13',
      hint: 'list what there is with `layerstore images`',
    });
    expect(reported(error)).toEqual({
      text: 'layerstore: debian:13: the image does not exist\nhint: list what there is with `layerstore images`\n',
      exit: 1,
    });
  });

  test('takes its exit status from the error table', () => {
    expect(reported(new StoreError('ERR_INVALID_REFERENCE', 'not an image reference')).exit).toBe(125);
  });

  test('of the operating system is classed first', () => {
    const full = Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC', path: '/var/x' });
    expect(reported(full).text).toMatch(/^layerstore: \/var\/x: no space left on the file system\nhint: /);
  });

  test('sends no escape sequence of a hostile name to the terminal', () => {
    const error = new StoreError('ERR_MALFORMED_ARCHIVE', 'bad', { subject: 'a\u001b[2Jb', hint: 'x\u001b[2Jy' });
    expect(reported(error, { stack: true }).text).not.toContain('\u001b');
  });

  test('comes with the stack when layerstore itself is at fault, or when asked for', () => {
    expect(reported(new TypeError('x is undefined')).text).toContain('failures.test');
    expect(reported(new StoreError('ERR_BUSY', 'busy')).text).not.toContain('failures.test');
    expect(reported(new StoreError('ERR_BUSY', 'busy'), { stack: true }).text).toContain('failures.test');
  });

  test('that was reported before is not repeated', () => {
    expect(reported(new Finished(3))).toEqual({ text: '', exit: 3 });
  });
});
