import { test } from 'vitest';
import type { Conformance, OpenedHome } from './subject.js';

/** A test that changes layers through their views, with a home of its own. */
export function editingTest(conformance: Conformance, title: string, run: (home: OpenedHome) => Promise<void>): void {
  test(title, async (context) => {
    if (conformance.subject.views === 'read-only') return context.skip('these views take no writes');
    await using home = await conformance.openHome();
    await run(home);
  });
}
