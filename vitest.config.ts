import { defineConfig } from 'vitest/config';
import { SummaryReporter } from './scripts/summary-reporter.mjs';

export default defineConfig(({ mode }) => ({
  test: {
    include: mode === 'soak' ? ['test/soak/**/*.test.ts'] : ['packages/*/src/**/*.test.ts', 'test/**/*.test.ts'],
    exclude: [...(mode === 'soak' ? [] : ['test/soak/**']), '**/node_modules/**', '**/dist/**'],
    testTimeout: mode === 'soak' ? 3_600_000 : 60_000,
    hookTimeout: 120_000,
    maxWorkers: 2,
    reporters: ['default', new SummaryReporter()],
  },
}));
