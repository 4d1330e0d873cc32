import type { Progress } from '@layerstore/core';
import { printable } from '../output/printable.js';
import { humanSize } from '../output/sizes.js';
import { truncate } from '../output/table.js';
import { endText } from './plain-lines.js';
import type { ProgressDisplay, ProgressStream } from './progress.js';
import { follow, type Task } from './tasks.js';

const millisecondsBetweenFrames = 100;
const barWidth = 24;
/** Columns below which a bar leaves no room for its label. */
const narrow = 76;
const eighths = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

const cursorUp = (lines: number): string => (lines === 0 ? '' : `\u001b[${lines}A`);
const eraseBelow = '\u001b[0J';

/**
 * A line with a bar for each running task at the foot of the terminal; finished tasks scroll up above them.
 *
 * Redrawn at most ten times a second, as one write, so that it does not flicker. Nothing is drawn while nothing runs, so other
 * output may be written between tasks.
 */
export class Bars implements ProgressDisplay {
  private readonly tasks = new Map<string, Task>();
  private readonly colour: boolean;
  private readonly now: () => number;
  private finished: string[] = [];
  private linesDrawn = 0;
  private lastFrame = -Infinity;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly stream: ProgressStream,
    options: { readonly colour: boolean; readonly now?: () => number },
  ) {
    this.colour = options.colour;
    this.now = options.now ?? (() => performance.now());
  }

  readonly listener = (event: Progress): void => {
    const finished = follow(this.tasks, event, this.now());
    if (finished !== undefined) {
      const mark = finished.outcome === 'failed' ? this.paint('31', '✗') : this.paint('32', '✓');
      this.finished.push(`${mark} ${this.fit(`${finished.label}  ${endText(finished)}`, 2)}`);
    }
    if (this.tasks.size === 0 || this.now() - this.lastFrame >= millisecondsBetweenFrames) this.draw();
    else this.timer ??= setTimeout(() => this.draw(), millisecondsBetweenFrames).unref();
  };

  print(line: string): void {
    this.finished.push(line);
    this.draw();
  }

  [Symbol.dispose](): void {
    this.tasks.clear();
    this.draw();
  }

  private draw(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.lastFrame = this.now();
    // What has scrolled off the screen cannot be reached by the cursor again.
    const room = Math.max(1, (this.stream.rows ?? 24) - 1);
    const running = [...this.tasks.values()];
    const shown = running.length <= room ? running : running.slice(0, room - 1);
    const lines = shown.map((task) => this.taskLine(task));
    if (shown.length < running.length) lines.push(`  and ${running.length - shown.length} more`);
    const text = [...this.finished, ...lines].map((line) => `${line}\n`).join('');
    if (text !== '' || this.linesDrawn > 0) this.stream.write(`${cursorUp(this.linesDrawn)}\r${eraseBelow}${text}`);
    this.finished = [];
    this.linesDrawn = lines.length;
  }

  private taskLine(task: Task): string {
    if (task.waiting !== undefined) return `  ${this.fit(`${task.label}  waiting, ${task.waiting}`, 2)}`;
    const seconds = (this.now() - task.startedAt) / 1000;
    const rate = seconds > 0.2 && task.done > 0 ? task.done / seconds : 0;
    const speed = rate > 0 ? `  ${humanSize(rate)}/s` : '';
    if (task.total === undefined || task.total <= 0) {
      const amount = task.done > 0 ? `  ${humanSize(task.done)}${speed}` : '';
      return `  ${this.fit(task.label + amount, 2)}`;
    }
    const share = Math.min(1, task.done / task.total);
    if (this.columns < narrow) {
      const percent = `  ${Math.floor(share * 100)}%`;
      return `  ${this.fit(task.label, 2 + percent.length)}${percent}`;
    }
    const left = rate > 0 && share < 1 ? `  ${remaining((task.total - task.done) / rate)}` : '';
    const tail = `  ${humanSize(task.done)}/${humanSize(task.total)}${speed}${left}`;
    return `  ${this.fit(task.label, 2 + 1 + barWidth + tail.length)} ${this.paint('36', bar(share))}${tail}`;
  }

  private get columns(): number {
    return this.stream.columns ?? 80;
  }

  /** Longer lines would wrap, and the cursor would count them as one. */
  private fit(text: string, taken: number): string {
    return truncate(printable(text), Math.max(8, this.columns - taken - 1));
  }

  private paint(code: string, text: string): string {
    return this.colour ? `\u001b[${code}m${text}\u001b[0m` : text;
  }
}

function bar(share: number): string {
  const parts = Math.round(share * barWidth * 8);
  const full = Math.floor(parts / 8);
  return `${'█'.repeat(full)}${eighths[parts % 8] ?? ''}`.padEnd(barWidth, '░');
}

function remaining(seconds: number): string {
  const whole = Math.ceil(seconds);
  return whole < 60 ? `${whole}s left` : `${Math.floor(whole / 60)}m${String(whole % 60).padStart(2, '0')}s left`;
}
