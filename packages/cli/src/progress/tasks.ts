import type { Progress, ProgressOutcome } from '@layerstore/core';

/** What is known of one running task. */
export interface Task {
  label: string;
  done: number;
  total: number | undefined;
  /** What it waits for, if it does. */
  waiting: string | undefined;
  readonly startedAt: number;
}

export interface FinishedTask extends Task {
  readonly outcome: ProgressOutcome;
  readonly seconds: number;
}

/** Keeps the running tasks up to date; returns a task when `event` ended it. */
export function follow(tasks: Map<string, Task>, event: Progress, now: number): FinishedTask | undefined {
  const task = tasks.get(event.task) ?? {
    label: event.task,
    done: 0,
    total: undefined,
    waiting: undefined,
    startedAt: now,
  };
  if (event.kind !== 'advance') task.label = event.label;
  task.waiting = event.kind === 'wait' ? event.reason : undefined;
  if (event.kind === 'advance') task.done = event.done;
  if ((event.kind === 'start' || event.kind === 'advance') && event.total !== undefined) task.total = event.total;
  if (event.kind !== 'end') {
    tasks.set(event.task, task);
    return undefined;
  }
  tasks.delete(event.task);
  return { ...task, outcome: event.outcome, seconds: (now - task.startedAt) / 1000 };
}
