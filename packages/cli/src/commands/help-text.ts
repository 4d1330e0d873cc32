import type { Command } from 'commander';

/** Adds the section of examples to a verb's help: what to type, and what it is for. */
export function addExamples(command: Command, examples: readonly (readonly [string, string])[]): void {
  const lines = examples.map(([typed, purpose]) => `  # ${purpose}\n  ${typed}\n`);
  command.addHelpText('after', `\nExamples:\n${lines.join('\n')}`.trimEnd());
}
