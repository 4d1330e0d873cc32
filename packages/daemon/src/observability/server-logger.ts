import { pino } from 'pino';
import { toErrorRecord, type Logger } from '@layerstore/core';

/** What pino calls its levels; `warn` is the level of a server that nobody watches. */
export type ServerLogLevel = 'error' | 'warn' | 'info' | 'debug';

export interface ServerLoggerOptions {
  /** `docker` or `containerd`: the field `server` of every line. */
  readonly server: string;
  readonly level: ServerLogLevel;
  /** Takes whole lines. The command line passes stderr. */
  readonly destination: { write(line: string): void };
}

/** A logger with fields that every line of it carries. */
export interface ServerLogger extends Logger {
  child(fields: Readonly<Record<string, unknown>>): ServerLogger;
}

/**
 * The structured log of a server: one JSON object per line with `time` (ISO 8601), `level` (a word), `server`, `msg` and the
 * fields of the call. An `error` field becomes a record with code, message, subject and hint.
 */
export function serverLogger(options: ServerLoggerOptions): ServerLogger {
  return pino(
    {
      level: options.level,
      base: { server: options.server },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: toErrorRecord },
    },
    options.destination,
  );
}
