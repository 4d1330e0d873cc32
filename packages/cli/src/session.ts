import type { Command } from 'commander';
import type { Logger, OperationOptions, Progress } from '@layerstore/core';
import type { LayerStore, OpenOptions } from '@layerstore/store';
import { readGlobalOptions, type GlobalOptions, type LogLevel } from './global-options.js';
import { lineLogger } from './logging.js';
import { printableJson } from './output/printable.js';
import { writeStdout } from './output/stdout.js';
import { progressDisplay, type ProgressDisplay } from './progress/progress.js';
import type { Interruption } from './signals.js';

/** Cancellation and progress, for the store's long calls. */
export type Operation = Required<OperationOptions>;

export interface Use {
  /** Whether a missing root is made; default false, because a mistyped --root is more likely. */
  readonly create?: boolean;
  /** Whether the work is long enough to show its progress; default false. */
  readonly progress?: boolean;
}

/** What every verb needs of the process it runs in. */
export class Session {
  exitCode = 0;
  logLevel: LogLevel = 'warn';
  private display: ProgressDisplay | undefined;

  constructor(readonly interruption: Interruption) {}

  get signal(): AbortSignal {
    return this.interruption.signal;
  }

  /** Opens the store that the global options name, for the time of `work`. */
  async withStore<T>(
    command: Command,
    work: (store: LayerStore, operation: Operation) => Promise<T>,
    use: Use = {},
  ): Promise<T> {
    return this.withDisplay(command, use, async (operation, options) => {
      await using store = await this.openStore(options, options.root, { create: use.create === true });
      return await work(store, operation);
    });
  }

  /** Shows the progress of `work`, if it has any to show. */
  async withDisplay<T>(
    command: Command,
    use: Use,
    work: (operation: Operation, options: GlobalOptions) => Promise<T>,
  ): Promise<T> {
    const options = readGlobalOptions(command, process.env);
    this.logLevel = options.logLevel;
    if (use.progress !== true) return await work({ signal: this.signal, onProgress: () => undefined }, options);
    using display = await progressDisplay(options.progress, process.stderr, process.env);
    this.display = display;
    const onProgress = (event: Progress): void => display.listener(event);
    return await work({ signal: this.signal, onProgress }, options);
  }

  async openStore(options: GlobalOptions, root: string, further: Partial<OpenOptions> = {}): Promise<LayerStore> {
    const { LayerStore } = await import('./layer-store.js');
    return LayerStore.open({
      root,
      oneShot: true,
      logger: this.logger(options),
      ...(options.driver === undefined ? {} : { driver: options.driver }),
      ...(options.storageOptions === undefined ? {} : { storageOptions: options.storageOptions }),
      ...further,
    });
  }

  /** Logs to stderr, beside the progress that is shown there. */
  logger({ logLevel }: Pick<GlobalOptions, 'logLevel'>): Logger {
    return lineLogger(logLevel, (line) => this.writeLine(line));
  }

  /** Writes the command's output, a line or several, in one piece. */
  print(...lines: readonly string[]): void {
    writeStdout(lines.map((line) => `${line}\n`).join(''));
  }

  /** Writes output that is not lines of text. */
  write(data: Buffer): void {
    writeStdout(data);
  }

  printJson(value: unknown): void {
    this.print(printableJson(value));
  }

  /** Says something worth knowing that is not the command's output. */
  note(text: string): void {
    this.writeLine(`layerstore: ${text}`);
  }

  private writeLine(line: string): void {
    if (this.display === undefined) process.stderr.write(`${line}\n`);
    else this.display.print(line);
  }
}
