import { Argument, type Command } from 'commander';
import { completionScript, shells, type Shell } from '../completion/scripts.js';
import type { Session } from '../session.js';
import { addExamples } from './help-text.js';

export function define(command: Command, session: Session): void {
  command
    .description(
      'Print a script that completes commands, options, and the names of images and containers that the store holds.',
    )
    .addArgument(new Argument('<SHELL>', 'the shell').choices(shells))
    .action((shell: Shell) => session.print(completionScript(shell).trimEnd()));
  addExamples(command, [
    ['source <(layerstore completion bash)', 'bash, for this session'],
    ['layerstore completion bash > ~/.local/share/bash-completion/completions/layerstore', 'bash, from now on'],
    ['layerstore completion zsh > ~/.zfunc/_layerstore', 'zsh, with ~/.zfunc in $fpath'],
    ['layerstore completion fish > ~/.config/fish/completions/layerstore.fish', 'fish'],
  ]);
}
