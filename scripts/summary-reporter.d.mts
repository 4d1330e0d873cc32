import type { Reporter } from 'vitest/reporters';

export class SummaryReporter implements Reporter {
  onTestRunEnd: NonNullable<Reporter['onTestRunEnd']>;
}
