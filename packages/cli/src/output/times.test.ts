import { describe, expect, test } from 'vitest';
import { humanAge } from './times.js';

const now = Date.parse('2026-11-21T12:00:00Z');
const secondsAgo = (seconds: number): string => new Date(now - seconds * 1000).toISOString();

describe('humanAge', () => {
  test.each([
    [0.5, 'Less than a second ago'],
    [1, '1 second ago'],
    [59, '59 seconds ago'],
    [60, 'About a minute ago'],
    [150, '2 minutes ago'],
    [3600, 'About an hour ago'],
    [47 * 3600, '47 hours ago'],
    [3 * 86400, '3 days ago'],
    [20 * 86400, '2 weeks ago'],
    [100 * 86400, '3 months ago'],
    [800 * 86400, '2 years ago'],
  ])('%d seconds read as "%s"', (seconds, text) => {
    expect(humanAge(secondsAgo(seconds), now)).toBe(text);
  });

  test('an image dated to the epoch, to year 1 or not at all has no age', () => {
    expect(humanAge('1970-01-01T00:00:00Z', now)).toBe('N/A');
    expect(humanAge('0001-01-01T00:00:00Z', now)).toBe('N/A');
    expect(humanAge(undefined, now)).toBe('N/A');
    expect(humanAge('soon', now)).toBe('N/A');
  });
});
