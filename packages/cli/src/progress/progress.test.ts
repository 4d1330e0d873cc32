import type { Progress } from '@layerstore/core';
import { describe, expect, test } from 'vitest';
import { Bars } from './bars.js';
import { PlainLines } from './plain-lines.js';
import { progressDisplay, type ProgressStream } from './progress.js';

class Recorder implements ProgressStream {
  text = '';
  constructor(
    readonly isTTY: boolean,
    readonly columns = 80,
    readonly rows = 24,
  ) {}
  write(text: string): void {
    this.text += text;
  }
}

/** What a terminal of the given height shows after the writes, understanding the sequences that the bars use. */
function screen(text: string): string[] {
  const lines = [''];
  let row = 0;
  for (const token of text.split(/(\u001b\[\d+[AJ]|\r|\n)/)) {
    const up = /^\u001b\[(\d+)A$/.exec(token);
    if (up !== null) row -= Number(up[1]);
    else if (token === '\u001b[0J') lines.splice(row, Infinity, '');
    else if (token === '\n') lines[++row] ??= '';
    else if (token !== '\r') lines[row] = `${lines[row] ?? ''}${token}`;
  }
  return lines;
}

const start = (task: string, total?: number): Progress => ({
  kind: 'start',
  task,
  label: `layer ${task}`,
  ...(total === undefined ? {} : { total }),
});
const advance = (task: string, done: number): Progress => ({ kind: 'advance', task, done });
const end = (task: string, outcome: 'done' | 'present' | 'failed' = 'done'): Progress => ({
  kind: 'end',
  task,
  label: `layer ${task}`,
  outcome,
});

describe('the choice of a display', () => {
  test.each([
    ['a terminal gets bars', true, {}, true],
    ['a pipe gets plain lines', false, {}, false],
    ['a terminal in CI gets plain lines', true, { CI: 'true' }, false],
    ['a dumb terminal gets plain lines', true, { TERM: 'dumb' }, false],
    ['an empty CI variable counts as none', true, { CI: '' }, true],
  ])('%s', async (_, isTTY, environment, bars) => {
    const stream = new Recorder(isTTY);
    using display = await progressDisplay('auto', stream, environment);
    expect(display instanceof Bars).toBe(bars);
    expect(display instanceof PlainLines).toBe(!bars);
  });

  test('json writes every event but a flood of advances, one object a line', async () => {
    const stream = new Recorder(true);
    using display = await progressDisplay('json', stream, {});
    display.listener(start('a', 1000));
    for (let done = 0; done < 1000; done += 1) display.listener(advance('a', done));
    display.listener(end('a'));
    const events = stream.text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Progress);
    expect(events[0]).toEqual(start('a', 1000));
    expect(events.at(-1)).toEqual(end('a'));
    expect(events.length).toBeLessThan(100);
  });

  test('none writes nothing', async () => {
    const stream = new Recorder(true);
    using display = await progressDisplay('none', stream, {});
    display.listener(start('a'));
    display.listener(end('a'));
    expect(stream.text).toBe('');
  });
});

describe('plain lines', () => {
  test('tell how each task ended', () => {
    const stream = new Recorder(false);
    let now = 0;
    const lines = new PlainLines(stream, () => now);
    lines.listener(start('a', 2000));
    lines.listener(advance('a', 2000));
    now = 1500;
    lines.listener(end('a'));
    lines.listener(end('b', 'present'));
    lines.listener(end('c', 'failed'));
    expect(stream.text).toBe('layer a: done, 2kB in 1.5 s\nlayer b: already there\nlayer c: failed\n');
  });

  test('show that a long task lives, and why one waits', () => {
    const stream = new Recorder(false);
    let now = 0;
    const lines = new PlainLines(stream, () => now);
    lines.listener(start('a', 5000));
    for (now = 0; now <= 25_000; now += 1000) lines.listener(advance('a', now / 10));
    lines.listener({ kind: 'wait', task: 'a', label: 'layer a', reason: 'another process unpacks it' });
    expect(stream.text).toBe(
      'layer a: 1kB of 5kB\nlayer a: 2kB of 5kB\nlayer a: waiting, another process unpacks it\n',
    );
  });
});

describe('bars', () => {
  const bars = (stream: Recorder, clock: { now: number }): Bars =>
    new Bars(stream, { colour: false, now: () => clock.now });

  test('show amount, rate and time left of every running task', () => {
    const stream = new Recorder(true);
    const clock = { now: 0 };
    const display = bars(stream, clock);
    display.listener(start('a', 4_000_000));
    display.listener(start('b'));
    clock.now = 1000;
    display.listener(advance('a', 1_000_000));
    expect(screen(stream.text)).toEqual([
      '  layer a ██████░░░░░░░░░░░░░░░░░░  1MB/4MB  1MB/s  3s left',
      '  layer b',
      '',
    ]);
    display[Symbol.dispose]();
  });

  test('let finished tasks scroll up, and leave nothing of the bars behind', () => {
    const stream = new Recorder(true);
    const clock = { now: 0 };
    const display = bars(stream, clock);
    display.listener(start('a', 1000));
    display.listener(start('b', 1000));
    clock.now = 500;
    display.listener(advance('b', 500));
    display.listener(end('a', 'present'));
    clock.now = 1000;
    display.listener(end('b', 'failed'));
    display[Symbol.dispose]();
    expect(screen(stream.text)).toEqual(['✓ layer a  already there', '✗ layer b  failed', '']);
  });

  test('erase the bars of tasks that never ended', () => {
    const stream = new Recorder(true);
    const display = bars(stream, { now: 0 });
    display.listener(start('a', 1000));
    display[Symbol.dispose]();
    expect(screen(stream.text)).toEqual(['']);
  });

  test('never wrap or outgrow the terminal', () => {
    const stream = new Recorder(true, 50, 6);
    const clock = { now: 0 };
    const display = bars(stream, clock);
    for (let task = 0; task < 20; task += 1) display.listener(start(`${task} ${'long name '.repeat(9)}`, 1000));
    clock.now = 1000;
    display.listener(advance('0 ' + 'long name '.repeat(9), 500));
    const shown = screen(stream.text);
    expect(shown.length).toBeLessThanOrEqual(6);
    expect(Math.max(...shown.map((line) => line.length))).toBeLessThanOrEqual(50);
    expect(shown.join('\n')).toContain('and 16 more');
    display[Symbol.dispose]();
  });

  test('pass no escape sequence of a label on to the terminal', () => {
    const stream = new Recorder(true);
    const display = bars(stream, { now: 0 });
    display.listener({ kind: 'start', task: 'a', label: 'evil\u001b[2J' });
    expect(stream.text).not.toContain('\u001b[2J');
    display[Symbol.dispose]();
  });

  test('use colour only when asked', () => {
    const stream = new Recorder(true);
    const display = new Bars(stream, { colour: true, now: () => 0 });
    display.listener(end('a'));
    expect(stream.text).toContain('\u001b[32m✓\u001b[0m');
  });
});
