import type { Progress, ProgressListener } from '@layerstore/core';

export const progressModes = ['auto', 'plain', 'json', 'none'] as const;
export type ProgressMode = (typeof progressModes)[number];

/** Where progress is shown: `process.stderr`, or a recorder in a test. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
  write(text: string): unknown;
}

/** Shows progress until it is disposed, which leaves the terminal at the beginning of an empty line. */
export interface ProgressDisplay extends Disposable {
  readonly listener: ProgressListener;
  /** Writes a line that has nothing to do with progress, without tearing the display. */
  print(line: string): void;
}

/**
 * The display that fits: bars on a terminal, otherwise a line per finished task; JSON events for programs.
 * A CI log is no terminal even where it pretends to be one, and TERM=dumb cannot move its cursor.
 */
export async function progressDisplay(
  mode: ProgressMode,
  stream: ProgressStream,
  environment: NodeJS.ProcessEnv,
): Promise<ProgressDisplay> {
  const print = (line: string): void => {
    stream.write(`${line}\n`);
  };
  if (mode === 'none') return { listener: () => undefined, print, [Symbol.dispose]: () => undefined };
  if (mode === 'json') return { listener: jsonEvents(stream), print, [Symbol.dispose]: () => undefined };
  const terminal = stream.isTTY === true && environment['TERM'] !== 'dumb' && !isSet(environment['CI']);
  if (mode === 'auto' && terminal) {
    const { Bars } = await import('./bars.js');
    return new Bars(stream, { colour: !isSet(environment['NO_COLOR']) });
  }
  const { PlainLines } = await import('./plain-lines.js');
  return new PlainLines(stream);
}

/** One JSON object per line and event; `advance` at most ten times a second for each task. */
function jsonEvents(stream: ProgressStream): ProgressListener {
  const reported = new Map<string, number>();
  return (event: Progress) => {
    if (event.kind === 'advance' && event.done !== event.total) {
      const now = performance.now();
      if (now - (reported.get(event.task) ?? -Infinity) < 100) return;
      reported.set(event.task, now);
    }
    stream.write(`${JSON.stringify(event)}\n`);
  };
}

/** An empty variable counts as not set (no-color.org). */
function isSet(value: string | undefined): boolean {
  return value !== undefined && value !== '' && value !== 'false';
}
