import { defineConfig } from 'vitest/config';
import { SummaryReporter } from './scripts/summary-reporter.mjs';

export default defineConfig(({ mode }) => ({
  test: {
    include: mode === 'soak' ? ['test/soak/**/*.test.ts'] : ['packages/*/src/**/*.test.ts', 'test/**/*.test.ts'],
    exclude: [...(mode === 'soak' ? [] : ['test/soak/**']), '**/node_modules/**', '**/dist/**'],
    // For tests that hang. On two cores with other work the slowest takes ten times as long as alone.
    testTimeout: mode === 'soak' ? 3_600_000 : 300_000,
    hookTimeout: 300_000,
    maxWorkers: 2,
    setupFiles: ['scripts/property-seed.mjs'],
    reporters: ['default', new SummaryReporter()],
  },
}));
