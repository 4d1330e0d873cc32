import { Option, type Command } from 'commander';
import { collect } from '../global-options.js';

/** Options of every command that talks to a registry. */
export interface RegistryCommandOptions {
  readonly creds?: string;
  readonly authfile?: string;
  readonly certDir?: string;
  readonly insecureRegistry?: readonly string[];
  readonly shortNames: 'docker' | 'podman';
}

const heading = 'Registry options:';

export function addRegistryOptions(command: Command): void {
  const options = [
    new Option('--creds <user:password>', 'log in with these; without a password it is asked for'),
    new Option('--authfile <file>', 'credentials of `podman login` or `docker login` (default: theirs)'),
    new Option(
      '--cert-dir <dir>',
      'directory with a folder HOST[:PORT] of certificates (default: those of docker and podman)',
    ),
    new Option(
      '--insecure-registry <host>',
      'registry that may do without TLS: host, host:port or network; may be repeated',
    ).argParser(collect),
    new Option('--short-names <kind>', 'who reads names without a registry: docker, or podman by registries.conf')
      .choices(['docker', 'podman'])
      .default('docker'),
  ];
  for (const option of options) command.addOption(option.helpGroup(heading));
}
