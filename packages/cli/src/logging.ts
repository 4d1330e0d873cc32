import { inspect } from 'node:util';
import type { LogFields, Logger } from '@layerstore/core';
import { logLevels, type LogLevel } from './global-options.js';
import { printable } from './output/printable.js';

/** A logger that hands lines of `level` and above to `write`: `layerstore: warning: message (key=value)`. */
export function lineLogger(level: LogLevel, write: (line: string) => void): Logger {
  const threshold = logLevels.indexOf(level);
  const at = (own: LogLevel, word: string) => (fields: LogFields, message: string) => {
    if (logLevels.indexOf(own) > threshold) return;
    const details = Object.entries(fields).map(([key, value]) => `${key}=${valueText(value)}`);
    write(printable(`layerstore: ${word}: ${message}${details.length === 0 ? '' : ` (${details.join(' ')})`}`));
  };
  return {
    error: at('error', 'error'),
    warn: at('warn', 'warning'),
    info: at('info', 'info'),
    debug: at('debug', 'debug'),
  };
}

function valueText(value: unknown): string {
  if (typeof value === 'string') return value;
  return inspect(value instanceof Error ? value.message : value, { breakLength: Infinity });
}
