/** Filters mean what they mean to containerd's own package, also malformed ones: random texts of the language's pieces go to both. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { SnapshotSummary } from '@layerstore/store';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { snapshotFilter } from '../../packages/daemon/src/containerd/filters/snapshot-filter.js';
import { hasProgram, Scratch } from '../support/scratch.js';

const sources = '/usr/share/gocode/src/github.com/containerd/containerd/filters';
const available = hasProgram('go') && existsSync(sources);
const pieces = [
  ...['name', 'parent', 'kind', 'labels', 'a', 'size', 'n-a', '_', '9'],
  ...['==', '!=', '~=', '=', '!', '~', '===', '.', '.', ',', ',', ' ', '\t', '\n'],
  ...[
    '"a"',
    '"x y"',
    '"containerd.io/snapshot.ref"',
    '"\\u00e9\\""',
    '"\\q"',
    '"\\x41"',
    '"\\101"',
    '"open',
    '/^d/',
    '|e$|',
    '//',
    '""',
  ],
  ...[
    'default/3/name',
    'active',
    '1',
    'p',
    '^default',
    '(',
    '[a-z]+',
    'é',
    '\u00a0',
    '\u200b',
    '\ufeff',
    '\u0085',
    '*',
    '$x',
    '\\',
  ],
];

describe.skipIf(!available)("containerd's filters (needs golang-go and its sources)", () => {
  let scratch: Scratch;
  beforeAll(() => {
    scratch = new Scratch('filters');
    execFileSync('mkdir', ['-p', scratch.file('go/src')]);
    execFileSync('cp', [
      '-r',
      fileURLToPath(new URL('containerd-filters', import.meta.url)),
      scratch.file('go/src/answer'),
    ]);
    execFileSync('go', ['build', '-o', scratch.file('answer'), 'answer'], {
      env: { ...process.env, GO111MODULE: 'off', GOPATH: `${scratch.file('go')}:/usr/share/gocode` },
      stdio: 'pipe',
    });
  }, 300_000);
  afterAll(() => scratch[Symbol.dispose]());

  it('agree with ours on thousands of texts', () => {
    const texts = fc.sample(
      fc.array(fc.constantFrom(...pieces), { minLength: 1, maxLength: 9 }).map((parts) => parts.join('')),
      { numRuns: 20_000, seed: Date.now() & 0xffff },
    );
    const { stdout } = spawnSync(scratch.file('answer'), {
      input: texts.map((text) => `${JSON.stringify(text)}\n`).join(''),
      encoding: 'utf8',
      maxBuffer: 1 << 26,
    });
    const theirs = stdout.trim().split('\n');
    const differences = texts.flatMap((text, index) =>
      theirs[index] === ours(text) ? [] : [{ text, theirs: theirs[index], ours: ours(text) }],
    );
    expect(differences.slice(0, 20)).toEqual([]);
    expect(new Set(theirs)).toEqual(new Set(['true', 'false', 'error']));
  });
});

const time = { seconds: 0, nanoseconds: 0 };
const subject: SnapshotSummary = {
  ...{ id: 1, owner: 'o', key: 'default/3/name', kind: 'active', parent: 'p,q', created: time, updated: time },
  labels: { a: '1', 'containerd.io/snapshot.ref': 'sha256:00', 'x y': 'é"' },
};

function ours(text: string): string {
  try {
    return String(snapshotFilter([text])(subject));
  } catch {
    return 'error';
  }
}
