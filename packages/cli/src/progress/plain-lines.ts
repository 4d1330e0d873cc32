import type { Progress } from '@layerstore/core';
import { printable } from '../output/printable.js';
import { humanSize } from '../output/sizes.js';
import type { ProgressDisplay, ProgressStream } from './progress.js';
import { follow, type FinishedTask, type Task } from './tasks.js';

/** A log is read later: while a task runs, a line every so often shows that it lives. */
const secondsBetweenLines = 10;

/** A line when a task ends or has to wait, for logs and pipes. */
export class PlainLines implements ProgressDisplay {
  private readonly tasks = new Map<string, Task>();
  private readonly lastLine = new Map<string, number>();

  constructor(
    private readonly stream: ProgressStream,
    private readonly now: () => number = () => performance.now(),
  ) {}

  readonly listener = (event: Progress): void => {
    const now = this.now();
    const finished = follow(this.tasks, event, now);
    if (finished !== undefined) {
      this.lastLine.delete(event.task);
      this.print(printable(`${finished.label}: ${endText(finished)}`));
      return;
    }
    const task = this.tasks.get(event.task);
    if (task === undefined) return;
    if (event.kind === 'start') this.lastLine.set(event.task, now);
    if (event.kind === 'wait') this.print(printable(`${task.label}: waiting, ${event.reason}`));
    if (event.kind === 'advance' && now - (this.lastLine.get(event.task) ?? now) >= secondsBetweenLines * 1000) {
      this.lastLine.set(event.task, now);
      const total = task.total === undefined ? '' : ` of ${humanSize(task.total)}`;
      this.print(printable(`${task.label}: ${humanSize(task.done)}${total}`));
    }
  };

  print(line: string): void {
    this.stream.write(`${line}\n`);
  }

  [Symbol.dispose](): void {
    this.tasks.clear();
  }
}

/** How a task ended, with its amount and time where they say something. */
export function endText(task: FinishedTask): string {
  if (task.outcome === 'present') return 'already there';
  if (task.outcome === 'failed') return 'failed';
  return task.done === 0 ? 'done' : `done, ${humanSize(task.done)} in ${task.seconds.toFixed(1)} s`;
}
