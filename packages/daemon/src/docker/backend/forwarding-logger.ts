import { toErrorRecord, type LogFields, type Logger } from '@layerstore/core';
import type { BackendAnswer } from '../backend-calls.js';

/** Hands log lines to the thread that writes the log. */
export function forwardingLogger(send: (answer: BackendAnswer) => void): Logger {
  const at =
    (level: keyof Logger) =>
    ({ error, ...fields }: LogFields, message: string) => {
      send({ kind: 'log', level, fields, message, ...(error === undefined ? {} : { error: toErrorRecord(error) }) });
    };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}
