/**
 * The tests that every driver must pass, for vitest. A driver's own test file calls {@link describeDriver} once for each way in which
 * its views are mounted, and adds what is peculiar to it.
 *
 * ```ts
 * describeDriver({ title: 'overlay2 by mount(2)', driver: 'overlay2', mountMethod: 'mount' });
 * ```
 *
 * Needs root: elsewhere the tests are reported as skipped. They leave no mount and no file.
 */
import { hasFuseOverlayfs } from '@layerstore/linux';
import { afterAll, describe } from 'vitest';
import { crashTests } from './crash-tests.js';
import { diffTests } from './diff-tests.js';
import { idTests } from './id-tests.js';
import { layerTests } from './layer-tests.js';
import { readOnlyTests } from './read-only-tests.js';
import { recoveryTests } from './recovery-tests.js';
import { sizeTests } from './size-tests.js';
import { Conformance, type ConformanceSubject } from './subject.js';
import { viewTests } from './view-tests.js';

export { treeFacts } from './tree-facts.js';
export { Conformance, OpenedHome, type ConformanceSubject, type LayerAccess } from './subject.js';

export function describeDriver(subject: ConformanceSubject): void {
  const program = subject.mountMethod === 'fuse-overlayfs';
  const lacking = process.geteuid?.() !== 0 || (program && !hasFuseOverlayfs());
  const needs = program ? 'root and fuse-overlayfs' : 'root';
  describe.skipIf(lacking)(`${subject.title} keeps the contract (needs ${needs})`, () => {
    const conformance = new Conformance(subject);
    afterAll(() => conformance.close());
    layerTests(conformance);
    idTests(conformance);
    viewTests(conformance);
    diffTests(conformance);
    readOnlyTests(conformance);
    sizeTests(conformance);
    recoveryTests(conformance);
    crashTests(conformance);
  });
}
